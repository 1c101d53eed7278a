"""Displacements of size eps that climb a gradient the most, on vectors [d].

All functions share the arguments grad [d], x [d] in the box, eps [] and the bounds
lower and upper ([] or [d]), of one dtype: float32 or float64. A coordinate that sits
on the face of the box towards which its gradient points cannot move: for Linf, L1 and
L0 it counts as having gradient zero, so that those which move few coordinates waste
none. L2 keeps it: without its part of the step, the projection would pull it back off
its face, and ascent would end in a cycle below the optimum.
Guarantees: inside the box's reach, the inner product with grad is eps times the dual
norm (L0 apart); a positive multiple of grad gives the same direction, for gradients
from 1e-37 to 1e35 in float32.
Edge cases: zero gradient gives zero; NaN gradients give NaN; eps = inf moves by inf,
which a projection clips to the box.
"""

import jax.numpy as jnp

from robust_jax.core.types import Array
from robust_jax.threats import norms
from robust_jax.threats.search import keep_largest


def linf(grad: Array, x: Array, eps: Array, lower: Array, upper: Array) -> Array:
    """eps times the sign of the gradient."""
    return _times(eps, jnp.sign(_movable(grad, x, lower, upper)))


def l2(grad: Array, x: Array, eps: Array, lower: Array, upper: Array) -> Array:
    """eps times the gradient at unit Euclidean length."""
    return _times(eps, grad / _or_one(norms.l2(grad)))


def l1(grad: Array, x: Array, eps: Array, lower: Array, upper: Array) -> Array:
    """All of eps on the coordinate with the largest absolute gradient.

    Edge cases: coordinates that tie share eps equally, which climbs as much, keeps
    further from the box and does not depend on the order of the coordinates.
    """
    grad = _movable(grad, x, lower, upper)
    steepest = jnp.where(jnp.abs(grad) == norms.linf(grad), jnp.sign(grad), 0)
    shared = steepest / _or_one(norms.l1(steepest))
    return _times(eps, jnp.where(jnp.any(jnp.isnan(grad)), jnp.nan, shared))


def l0(grad: Array, x: Array, eps: Array, lower: Array, upper: Array) -> Array:
    """The width of the box, signed, on the floor(eps) largest absolute gradients.

    The ball alone bounds no coordinate, so the step is as long as any can be; a
    projection cuts it at the box.
    Edge cases: of equal gradients, the coordinates that come first; needs a finite
    box.
    """
    grad = _movable(grad, x, lower, upper)
    moved = keep_largest(jnp.abs(grad), eps)
    return jnp.where(moved, (upper - lower) * jnp.sign(grad), 0)


def _movable(grad: Array, x: Array, lower: Array, upper: Array) -> Array:
    stuck = ((grad > 0) & (x >= upper)) | ((grad < 0) & (x <= lower))
    return jnp.where(stuck, 0, grad)


def _times(eps: Array, direction: Array) -> Array:
    return jnp.where(direction == 0, 0, eps * direction)  # inf * 0 is NaN.


def _or_one(size: Array) -> Array:
    return jnp.where(size == 0, 1, size)
