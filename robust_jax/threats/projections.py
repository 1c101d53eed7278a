"""Euclidean projections onto the intersection of a ball and a box, on vectors [d].

In each norm the nearest point has the form clip(x0 + shrink(x - x0)): one number (the
scale, the soft threshold, the set of coordinates kept) is unknown, and the size of
the clipped displacement is monotone in it, which `search` turns into its exact value.

All functions share the arguments x [d], centre x0 [d] in the box, eps [] and the
bounds lower and upper ([] or [d], `inf` allowed), of one dtype: float32 or float64.
Guarantees: feasible up to the rounding of x; a point that is inside by more than
rounding comes back bit by bit; eps = 0 gives x0 and eps = inf the clipped x, exactly.
Edge cases: a NaN coordinate stays NaN; L0 may put it back to x0.
"""

import jax.numpy as jnp

from robust_jax.core.types import Array
from robust_jax.threats import norms
from robust_jax.threats.search import keep_largest, last_float


def linf(x: Array, x0: Array, eps: Array, lower: Array, upper: Array) -> Array:
    """The nearest point with every coordinate within eps of x0, and in the box."""
    return jnp.clip(x, jnp.maximum(x0 - eps, lower), jnp.minimum(x0 + eps, upper))


def l2(x: Array, x0: Array, eps: Array, lower: Array, upper: Array) -> Array:
    """The nearest point within Euclidean distance eps of x0, and in the box.

    The optimality conditions give clip(x0 + scale * (x - x0)) with one scale in
    [0, 1]; the largest that is feasible is the answer. Clipping after a projection
    onto the ball alone would leave part of eps unused.
    """
    delta = x - x0
    # In units of eps, nothing that matters over- or underflows; at eps = 0 the
    # quotients are not finite and nothing fits, so that the scale is 0.
    pull, room = jnp.abs(delta) / eps, _room(delta, x0, lower, upper) / eps

    def fits(scale: Array) -> Array:
        return jnp.sum(jnp.minimum(scale * pull, room) ** 2) <= 1

    nearest = jnp.clip(x, lower, upper)
    inside = norms.l2(nearest - x0) <= eps
    scaled = x0 + last_float(fits, x.dtype) * delta
    return jnp.where(inside, nearest, jnp.clip(scaled, lower, upper))


def l1(x: Array, x0: Array, eps: Array, lower: Array, upper: Array) -> Array:
    """The nearest point within L1 distance eps of x0, and in the box.

    Soft thresholding, each displacement capped by its room in the box (Croce & Hein,
    "Mind the box", ICML 2021): the smallest threshold that is feasible, then what
    its last bit leaves of eps shared by the coordinates that are neither zero nor
    capped, which matters if x is far outside.
    """
    delta = x - x0
    pull, room = jnp.abs(delta), _room(delta, x0, lower, upper)

    def exceeds(threshold: Array) -> Array:
        return jnp.sum(jnp.clip(pull - threshold, 0, room)) > eps

    nearest = jnp.clip(x, lower, upper)
    inside = norms.l1(nearest - x0) <= eps
    threshold = jnp.nextafter(last_float(exceeds, x.dtype), jnp.inf)
    moved = jnp.clip(pull - threshold, 0, room)
    free = (pull >= threshold) & (moved < room)
    unused = jnp.maximum(eps - jnp.sum(moved), 0)
    moved += jnp.where(free, unused / jnp.maximum(jnp.sum(free), 1), 0)
    shrunk = jnp.clip(x0 + jnp.sign(delta) * moved, lower, upper)
    return jnp.where(inside, nearest, shrunk)


def l0(x: Array, x0: Array, eps: Array, lower: Array, upper: Array) -> Array:
    """The nearest point that moves at most floor(eps) coordinates, in the box.

    Letting a coordinate move lowers the squared distance to x by delta^2 less what
    the box leaves of it, (delta - clipped)^2; those that gain the most may move.
    Edge cases: of equal gains, the coordinates that come first.
    """
    nearest = jnp.clip(x, lower, upper)
    clipped = nearest - x0
    gain = jnp.maximum(clipped * (2 * (x - x0) - clipped), 0)
    inside = norms.l0(clipped) <= eps  # Gains of tiny moves underflow and would tie.
    return jnp.where(inside | keep_largest(gain, eps), nearest, x0)


def _room(delta: Array, x0: Array, lower: Array, upper: Array) -> Array:
    """How far each coordinate can move from x0 in the direction of delta."""
    return jnp.where(delta > 0, upper - x0, x0 - lower)
