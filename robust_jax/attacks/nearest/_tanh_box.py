"""The change of variables that keeps Adam inside a box: Carlini and Wagner's tanh."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from robust_jax.attacks.skeletons.minimum_norm import box_ends
from robust_jax.core import checks
from robust_jax.core.types import Array, Threat

_ADAM = optax.scale_by_adam()  # 0.9, 0.999 and 1e-8, as in the authors' code
_LEAST_SLACK = 1e-6  # With less, float32 would put a face at infinity.


class AdamState(NamedTuple):
    """Where Adam is in the variable of tanh."""

    shift: Array  # [*S] from x, float32 at least
    moments: Any  # of Adam


def check_slack(slack: Any) -> None:
    """Raises ValueError unless float32 can hold the variable of a face."""
    wanted = "a finite number >= 1e-6"
    checks.holds("slack", slack, lambda v: _LEAST_SLACK <= v < float("inf"), wanted)


def inside(threat: Threat, x: Array, shift: Array, slack: float) -> Array:
    """The point of the box that is `shift` away from x in tanh's variable, [*S].

    With the box's middle m and half width h, x = m + (1 + slack) h tanh(w); the answer
    is x + (1 + slack) h (tanh(w + shift) - tanh(w)), clipped. The slack is what makes
    w finite on a face, and what lets a point reach one.
    Guarantees: in the box; x itself, to the bit, where the shift is zero.

    Args:
        threat: gives the box, which must be finite.
        x: the clean input, in the box; shape [*S], or a pytree.
        shift: of the shape of x.
        slack: >= 1e-6.
    """

    def moved(x: Array, shift: Array, low: Array, high: Array) -> Array:
        w, half = _variable(x, low, high, slack)
        change = half * (jnp.tanh(w + shift) - jnp.tanh(w))
        there = jnp.clip(x + change, low, high).astype(x.dtype)
        return jnp.where(shift == 0, x, there)  # XLA may round the two tanh's apart.

    return jax.tree.map(moved, x, shift, *box_ends(threat, x))


def pulled_back(
    threat: Threat, x: Array, shift: Array, slack: float, grad: Array
) -> Array:
    """A gradient at `inside(...)` as one of the shift, as if nothing were clipped."""

    def scaled(x: Array, shift: Array, low: Array, high: Array, grad: Array) -> Array:
        w, half = _variable(x, low, high, slack)
        return half * grad / jnp.cosh(w + shift) ** 2

    return jax.tree.map(scaled, x, shift, *box_ends(threat, x), grad)


def at_start(x: Array) -> AdamState:
    """At x, with nothing remembered."""
    shift = jax.tree.map(
        lambda a: jnp.zeros(a.shape, jnp.promote_types(a.dtype, jnp.float32)), x
    )
    return restarted(shift)


def restarted(shift: Array) -> AdamState:
    """At that shift, with Adam's moments of a new start."""
    return AdamState(shift, _ADAM.init(shift))


def stepped(
    threat: Threat,
    x: Array,
    adam: AdamState,
    slope: Array,
    step_size: float,
    slack: float,
) -> AdamState:
    """One step of Adam against the slope [*S] of a loss at `inside(...)`."""
    slope = pulled_back(threat, x, adam.shift, slack, slope)
    direction, moments = _ADAM.update(slope, adam.moments)
    shift = jax.tree.map(lambda a, d: a - step_size * d, adam.shift, direction)
    return AdamState(shift, moments)


def _variable(x: Array, low: Array, high: Array, slack: float) -> tuple[Array, Array]:
    """The variable of x, and half the width that tanh spans; float32 at least."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    x, low, high = x.astype(wide), low.astype(wide), high.astype(wide)
    half = (high - low) / 2 * (1 + slack)
    share = (x - (low + high) / 2) / jnp.where(half > 0, half, 1)
    most = 1 - slack / (1 + slack)  # 1 / (1 + slack), rounded once in float32.
    return jnp.arctanh(jnp.clip(share, -most, most)), half
