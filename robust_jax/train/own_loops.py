"""Adversarial training in a loop of the user's own: a loss that attacks its batch."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from robust_jax.core import checks, drive, lift, outputs
from robust_jax.core.types import Array, Attack, Key, LogitsFn, Threat, Untargeted
from robust_jax.interop import from_nnx, per_example

# (params, images [B, *S], *rest) -> logits [B, K], in inference mode.
BatchLogits = Callable[..., Array]


def adversarial_loss(
    loss_fn: Callable[..., Any],
    attack: Attack,
    threat: Threat,
    *,
    logits_fn: BatchLogits | None = None,
    images: Any = "image",
    labels: Any = "label",
) -> Callable[..., Any]:
    """A loss of any training loop on images that an attack has moved.

    `loss_fn(params, batch, key, *rest)` is what the loop differentiates, of Linen, NNX
    or Equinox code: what it gives (also an aux) and takes, such as batch statistics,
    stays as it is. The attack sees the net of this step, in inference mode; no gradient
    flows through it. The loss draws from a key of its own.
    Guarantees: pure if the loss is; works under `jit`, `grad` and `nnx.value_and_grad`;
    eps = 0 gives the loss on clean images.

    Args:
        loss_fn: the loss; its batch has float images [B, *S] in the threat's box, and
            integer labels [B].
        attack: whose state has an `iterate`, such as `attacks.pgd(7, 0.25)`.
        threat: such as `threats.Linf(8 / 255)`.
        logits_fn: (params, images [B, *S], *rest) -> logits [B, K], in inference mode.
            None: params is a module of NNX, which takes batches, or of Equinox, which
            takes examples.
        images, labels: where the batch, a mapping or a tuple, has them; of a tuple 0
            and 1 by default.
    Returns: `(params, batch, key, *rest)` to what `loss_fn` gives.
    Raises: ValueError, TypeError: arguments of other kinds, in one sentence; while it
        is traced, a batch without these parts, integer images, labels of other shapes.
    References: Madry et al., ICLR 2018, Eq. 2.1. Differs from the authors' code in:
        nothing.

    >>> def loss_fn(params, batch, key):
    ...     logits = batch["image"] @ params
    ...     return jax.vmap(rj.losses.cross_entropy)(logits, batch["label"]).mean()
    >>> attack, threat = rj.attacks.pgd(3), rj.threats.Linf(0.1)
    >>> robust_loss = rj.train.adversarial_loss(
    ...     loss_fn, attack, threat, logits_fn=lambda params, x: x @ params
    ... )
    >>> batch = {"image": jnp.eye(2), "label": jnp.array([0, 1])}
    >>> loss_fn(jnp.eye(2), batch, None)
    Array(0.313, dtype=float32)
    >>> robust_loss(jnp.eye(2), batch, jax.random.key(0))
    Array(0.337, dtype=float32)
    """
    checks.function("loss_fn", loss_fn)
    checks.attack("attack", attack)
    if logits_fn is not None:
        checks.function("logits_fn", logits_fn)
    move = lift.over_examples(drive.last_iterate(attack))

    def robust_loss(params: Any, batch: Any, key: Key, *rest: Any) -> Any:
        attack_key, loss_key = jax.random.split(key)
        places = _places(batch, images, labels)
        x, truth = (batch[place] for place in places)
        _check_batch(x, truth)
        net = _held(_net(params, rest, logits_fn))
        keys = jax.random.split(attack_key, len(x))
        x_adv = jax.lax.stop_gradient(move(keys, net, threat, x, Untargeted(truth)))
        return loss_fn(params, _with(batch, places[0], x_adv), loss_key, *rest)

    return robust_loss


def _net(params: Any, rest: tuple[Any, ...], logits_fn: BatchLogits | None) -> LogitsFn:
    """The net of this step as a function of one example."""
    if logits_fn is not None:
        net = Partial(lambda params, rest, x: logits_fn(params, x, *rest), params, rest)
        return per_example(net)
    kind = type(params)
    if outputs.is_module(kind, "flax.nnx"):
        return per_example(from_nnx(params))
    if outputs.is_module(kind, "equinox"):
        return sys.modules["equinox"].nn.inference_mode(params)
    raise TypeError(
        f"logits_fn=None, and params is {kind.__name__}; expected a module of NNX or "
        "Equinox; pass logits_fn=lambda params, images: ..., the net in inference mode"
    )


def _held(net: LogitsFn) -> LogitsFn:
    """The net, through whose weights no gradient flows."""
    is_array = lambda leaf: isinstance(leaf, jax.Array)  # noqa: E731
    stop = jax.lax.stop_gradient
    return jax.tree.map(lambda leaf: stop(leaf) if is_array(leaf) else leaf, net)


def _places(batch: Any, images: Any, labels: Any) -> tuple[Any, Any]:
    """Where a batch has its images and labels."""
    known: Any
    if isinstance(batch, tuple | list):
        by_number = [
            number if isinstance(place, str) else place
            for number, place in enumerate((images, labels))
        ]
        places, known = (by_number[0], by_number[1]), range(len(batch))
    elif isinstance(batch, Mapping):
        places, known = (images, labels), batch
    else:
        raise TypeError(
            f"batch of type {type(batch).__name__}; expected a mapping or a tuple with "
            "images and labels"
        )
    for name, place in zip(("images", "labels"), places, strict=True):
        if place not in known:
            raise ValueError(
                f"{name}={place!r}; expected where the batch has them, one of "
                f"{', '.join(map(repr, known))}"
            )
    return places


def _check_batch(x: Any, truth: Any) -> None:
    """Raises ValueError or TypeError for images and labels of other kinds."""
    if not checks.is_floating(jnp.result_type(x)):
        raise TypeError(
            f"the batch's images are {jnp.result_type(x)}; expected floats in the "
            "threat's box; divide by 255 before the loss"
        )
    if jnp.ndim(truth) != 1 or jnp.shape(x)[:1] != jnp.shape(truth):
        raise ValueError(
            f"the batch has images of shape {jnp.shape(x)} and labels of shape "
            f"{jnp.shape(truth)}; expected [B, *S] and [B], class numbers"
        )
    if not jnp.issubdtype(jnp.result_type(truth), jnp.integer):
        raise TypeError(
            f"the batch's labels are {jnp.result_type(truth)}; expected class numbers"
        )


def _with(batch: Any, place: Any, x: Array) -> Any:
    """The batch with other images, of the same kind."""
    if isinstance(batch, Mapping):
        return {**batch, place: x}
    changed = list(batch)
    changed[place] = x
    if hasattr(batch, "_make"):  # A NamedTuple.
        return batch._make(changed)
    return type(batch)(changed)
