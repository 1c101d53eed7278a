"""Random points of a ball, clipped to a box, on vectors [d].

All functions share the arguments key, centre x0 [d] in the box, eps [] and the bounds
lower and upper ([] or [d]), of one dtype: float32 or float64. Since x0 is in the box,
clipping a point of the ball is its projection onto ball and box together.
Guarantees: feasible; deterministic in key; eps = 0 gives x0 exactly.
Edge cases: eps = inf gives uniform points of the box, which must then be finite.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from robust_jax.core.types import Array, Key
from robust_jax.threats import norms
from robust_jax.threats.search import keep_largest


def linf(key: Key, x0: Array, eps: Array, lower: Array, upper: Array) -> Array:
    """Uniform in the ball, then clipped (Madry et al., ICLR 2018)."""
    unit = jax.random.uniform(key, x0.shape, x0.dtype)
    in_ball = jnp.clip(x0 + eps * (2 * unit - 1), lower, upper)
    return jnp.where(jnp.isinf(eps), _stretch(unit, lower, upper), in_ball)


def l2(key: Key, x0: Array, eps: Array, lower: Array, upper: Array) -> Array:
    """Uniform in the ball, then clipped: a Gaussian's direction is uniform."""
    return _by_radius(jax.random.normal, norms.l2, key, x0, eps, lower, upper)


def l1(key: Key, x0: Array, eps: Array, lower: Array, upper: Array) -> Array:
    """Uniform in the ball, then clipped: Laplace draws fall evenly on its faces."""
    return _by_radius(jax.random.laplace, norms.l1, key, x0, eps, lower, upper)


def l0(key: Key, x0: Array, eps: Array, lower: Array, upper: Array) -> Array:
    """Uniform values of the box in floor(eps) coordinates chosen at random.

    Edge cases: eps >= d moves all coordinates.
    """
    rank_key, value_key = jax.random.split(key)
    moved = keep_largest(jax.random.uniform(rank_key, x0.shape, x0.dtype), eps)
    unit = jax.random.uniform(value_key, x0.shape, x0.dtype)
    return jnp.where(moved, _stretch(unit, lower, upper), x0)


def _by_radius(
    draw: Callable[..., Array],
    norm: Callable[[Array], Array],
    key: Key,
    x0: Array,
    eps: Array,
    lower: Array,
    upper: Array,
) -> Array:
    """A uniform direction times eps * U^(1/d), the radius of a uniform point."""
    direction_key, radius_key, box_key = jax.random.split(key, 3)
    direction = draw(direction_key, x0.shape, x0.dtype)
    tiny = jnp.finfo(x0.dtype).tiny  # All draws may be zero when d = 1.
    direction = direction / jnp.maximum(norm(direction), tiny)
    radius = eps * jax.random.uniform(radius_key, (), x0.dtype) ** (1 / x0.size)
    in_ball = jnp.clip(x0 + radius * direction, lower, upper)
    in_box = _stretch(jax.random.uniform(box_key, x0.shape, x0.dtype), lower, upper)
    return jnp.where(jnp.isinf(eps), in_box, in_ball)


def _stretch(unit: Array, lower: Array, upper: Array) -> Array:
    """Maps [0, 1) to the box."""
    return jnp.clip(lower + unit * (upper - lower), lower, upper)
