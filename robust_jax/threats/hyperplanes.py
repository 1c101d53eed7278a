"""The shortest way from a point onto a hyperplane inside a box, on vectors [d].

Wanted is the smallest displacement with `normal @ displacement = gap`. In each norm
every coordinate moves towards the plane, as far as one unknown number says (a common
length, a multiple of the normal, a threshold on its entries) or as far as the box
lets it. What has been covered of the gap is monotone in that number, which `search`
turns into its exact value: the error is that of the final sum.

All functions share the arguments normal [d], gap [], x [d] in the box and the bounds
lower and upper ([] or [d], `inf` allowed), of one dtype: float32 or float64.
Guarantees: x + displacement is in the box up to the rounding of x; scaling normal and
gap by the same factor changes nothing, for normals from 1e-37 to 1e37 in float32.
Edge cases: where the box ends before the plane, the displacement to the corner that
comes nearest to it; a zero gap or normal gives zero; coordinates with a zero normal
stay; a NaN in the normal or the gap gives NaN.
References: Croce & Hein, "Minimally distorted adversarial examples with a fast
adaptive boundary attack", ICML 2020, who sort the coordinates.
"""

from typing import NamedTuple

import jax.numpy as jnp

from robust_jax.core.types import Array
from robust_jax.threats import norms
from robust_jax.threats.search import last_float


class _Way(NamedTuple):
    """What is to be covered, in units of the normal's largest entry."""

    weight: Array  # [d] gained by a coordinate per unit of length, in [0, 1]
    gap: Array  # [] >= 0
    room: Array  # [d] how far each coordinate can move towards the plane
    sign: Array  # [d] the direction in which it does


def linf(normal: Array, gap: Array, x: Array, lower: Array, upper: Array) -> Array:
    """Every coordinate moves by one common length, or as far as it can."""
    way = _way(normal, gap, x, lower, upper)

    def short(length: Array) -> Array:
        return jnp.sum(way.weight * jnp.minimum(length, way.room)) <= way.gap

    return way.sign * jnp.minimum(last_float(short, x.dtype), way.room)


def l2(normal: Array, gap: Array, x: Array, lower: Array, upper: Array) -> Array:
    """Moves along the normal, each coordinate as far as it can."""
    way = _way(normal, gap, x, lower, upper)

    def moves(multiple: Array) -> Array:
        along = jnp.where(way.weight > 0, multiple * way.weight, 0)  # Not inf * 0.
        return jnp.minimum(along, way.room)

    def short(multiple: Array) -> Array:
        return jnp.sum(way.weight * moves(multiple)) <= way.gap

    return way.sign * moves(last_float(short, x.dtype))


def l1(normal: Array, gap: Array, x: Array, lower: Array, upper: Array) -> Array:
    """The coordinates with the largest normal move as far as they can, and no others.

    Edge cases: those that tie for the last place share what is left.
    """
    way = _way(normal, gap, x, lower, upper)
    gain = way.weight * way.room

    def enough(threshold: Array) -> Array:
        covered = jnp.sum(jnp.where(way.weight >= threshold, gain, 0)) >= way.gap
        return covered & (threshold <= 1)  # Nothing covers a gap of zero.

    threshold = last_float(enough, x.dtype)
    above, tied = way.weight > threshold, way.weight == threshold
    left = jnp.maximum(way.gap - jnp.sum(jnp.where(above, gain, 0)), 0)
    # No tied coordinate needs more than all that is left; rooms may be infinite.
    most = jnp.where(tied, jnp.minimum(way.room, left / _or_one(threshold)), 0)
    share = jnp.minimum(left / _or_one(threshold * jnp.sum(most)), 1)
    return way.sign * jnp.where(above, way.room, share * most)


def _way(normal: Array, gap: Array, x: Array, lower: Array, upper: Array) -> _Way:
    unit = _or_one(norms.linf(normal))  # A net sure of its answer has tiny gradients.
    weight = jnp.abs(normal) / unit
    # What underflows stays: in an infinite box it would gain 0 * inf.
    sign = jnp.where(weight > 0, jnp.sign(gap) * jnp.sign(normal), 0)
    room = jnp.where(sign > 0, upper - x, jnp.where(sign < 0, x - lower, 0))
    return _Way(weight, jnp.abs(gap) / unit, room, sign)


def _or_one(size: Array) -> Array:
    return jnp.where(size == 0, 1, size)
