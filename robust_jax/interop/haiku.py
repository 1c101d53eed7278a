"""Haiku's transformed functions as logit functions."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import jax
from jax.tree_util import Partial

from robust_jax.core import checks, extras, origin
from robust_jax.core.layout import declared
from robust_jax.core.origin import Layout
from robust_jax.core.types import Array


@dataclasses.dataclass(frozen=True)
class _Apply:
    """The `apply` of a transformed function, without a key."""

    apply: Callable[..., Any]
    takes_key: bool
    is_stateful: bool
    options: tuple[tuple[str, Any], ...]

    def __call__(self, params: Any, state: Any, x: Array) -> Array:
        key = (None,) if self.takes_key else ()
        options = dict(self.options)
        if self.is_stateful:
            logits, after = self.apply(params, state, *key, x, **options)
            _check_unchanged(state, after)
            return logits
        return self.apply(params, *key, x, **options)


def _check_unchanged(state: Any, after: Any) -> None:
    """Raises ValueError for a net in training mode."""
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=False)
    if any(new is not old for old, new in pairs):
        raise ValueError(
            "the function updates its state, as statistics in training; pass "
            "from_haiku(..., is_training=False), or what yours calls it"
        )


def from_haiku(
    transformed: Any,
    params: Any,
    state: Any = None,
    *,
    layout: Layout | None = None,
    **options: Any,
) -> Partial:
    """A transformed function of Haiku and its parameters as one function of x.

    Haiku has no mode of its own: pass what makes yours deterministic, such as
    is_training=False. A net that draws or updates its state fails when it is asked; one
    that needs a batch axis goes through `per_example`.
    Guarantees: new parameters do not retrace.

    Args:
        transformed: of `haiku.transform`, or of `transform_with_state`.
        params: its parameters.
        state: of `transform_with_state`.
        layout: of the images that it takes, "HWC" or "CHW"; see `channels_first`.
        options: constant keyword arguments of the function.
    Returns: what the function takes to logits.
    Raises: TypeError: no transformed function. ValueError: a state too many, or none
        where there must be one; options that cannot be compared; another layout.

    >>> import haiku as hk
    >>> net = hk.transform(lambda x: hk.Linear(3)(x))
    >>> params = net.init(jax.random.key(0), images[0])
    >>> rj.interop.from_haiku(net, params)(images[0]).shape
    (3,)
    """
    hk = extras.needed("haiku", "haiku", "interop.from_haiku")
    kinds = hk.Transformed, hk.TransformedWithState
    checks.instance("transformed", transformed, kinds, "what haiku.transform gives")
    is_stateful = isinstance(transformed, hk.TransformedWithState)
    if is_stateful != (state is not None):
        wanted = "the state" if is_stateful else "None"
        raise ValueError(
            f"state={checks.shown(state)} with a haiku."
            f"{type(transformed).__name__}; expected {wanted}"
        )
    takes_key = "rng" in inspect.signature(transformed.apply).parameters
    chosen = tuple(sorted(options.items()))
    how = ", ".join(f"{name}={value!r}" for name, value in chosen)
    mode = f"with {how}" if how else "by its defaults"
    named = getattr(transformed.apply, "_original_fn", transformed.apply)
    said = origin.said_of("Haiku", named, layout, mode)
    apply = _Apply(transformed.apply, takes_key, is_stateful, chosen)
    checks.hashable(f"options={checks.shown(options)}", apply)
    return declared(Partial(apply, params, state), said)
