"""Several models as one, to make examples that transfer."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax.tree_util import Partial

from robust_jax.core import layout, origin
from robust_jax.core.closures import as_partial
from robust_jax.core.types import Array, LogitsFn


def ensemble(models: Sequence[LogitsFn], weights: Sequence[float] = ()) -> Partial:
    """The weighted mean of the models' logits, as one model.

    Whatever attacks one model attacks this one: `di_fgsm()`, `mim()` and the other
    gradient transforms are the usual choice for transfer.
    Guarantees: weights that are data stay so: new ones do not retrace.

    Args:
        models: one example [*S] -> logits [K], of one K.
        weights: one for each model, > 0; equal by default. They are scaled to sum to 1.
    Raises: ValueError: no model; weights of another number or not > 0; models that take
        other layouts (`interop.channels_first`).
    References: Dong et al., "Boosting Adversarial Attacks with Momentum", CVPR 2018,
        Sec. 3.4: fusing logits transferred better than fusing probabilities or losses.

    >>> mean = rj.attacks.ensemble((net, lambda x: 2 * net(x)), weights=(0.25, 0.75))
    >>> mean(jnp.array([0.75, 0.25]))
    Array([ 0.875, -0.875], dtype=float32)
    """
    if not models:
        raise ValueError("models=(); expected at least one")
    given = list(weights) or [1.0] * len(models)
    if len(given) != len(models) or min(given) <= 0:
        raise ValueError(
            f"weights={given}; expected {len(models)} numbers > 0, one for each model"
        )
    if len(set(map(layout.is_first, map(origin.of, models)))) > 1:
        raise ValueError(
            "models of channels-first images beside others; expected one layout: pass "
            "interop.channels_last(model) for the former"
        )
    shares = jnp.asarray(given) / sum(given)
    return Partial(_mean, tuple(as_partial(m) for m in models), shares)


def _mean(models: tuple[Partial, ...], shares: Array, x: Array) -> Array:
    logits = jnp.stack([model(x) for model in models])
    return jnp.tensordot(shares.astype(logits.dtype), logits, 1)
