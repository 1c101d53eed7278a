"""Where L-BFGS-B's quadratic model has its minimum in the box, about.

A Cauchy point says which coordinates are free; the model's minimum over these, on the
box again, is what the next line search goes towards. See `lbfgsb.update`.
"""

import jax.numpy as jnp
from jax.typing import ArrayLike

from robust_jax.core.types import Array
from robust_jax.optim import compact

_ENOUGH = 1e-2  # Of the linear decrease, what a Cauchy point must bring.


def aim(
    x: Array,
    grad: Array,
    pairs: compact.Pairs,
    turning: Array,
    lower: ArrayLike,
    upper: ArrayLike,
) -> tuple[Array, Array, compact.Pairs]:
    """Where the next search goes at step 1, its slope, and the pairs left.

    Args:
        x: the accepted point, [n].
        grad: there, [n].
        pairs: of which the model is made.
        turning: whether pairs that lead nowhere are forgotten, [].
        lower, upper: the box, [] or [n].
    """
    model = compact.model(pairs)
    z, wz, free = _cauchy(model, x, grad, lower, upper)
    none = jnp.all(pairs.born < 0)
    way = compact.step_on(model, free, grad, z, wz)
    from_x = x + z
    projected = jnp.clip(from_x + way, lower, upper)
    room = jnp.where(way > 0, upper - from_x, lower - from_x)
    room = jnp.where(way == 0, jnp.inf, room / jnp.where(way == 0, 1, way))
    share = jnp.clip(jnp.min(room, initial=1), 0, 1)
    # Morales & Nocedal: project, unless that loses the descent.
    cut = jnp.clip(from_x + share * way, lower, upper)
    point = jnp.where(grad @ (projected - x) < 0, projected, cut)
    slope = grad @ (point - x)
    plain = jnp.clip(x - grad / model.theta, lower, upper)
    bad = ~(slope < 0) | ~jnp.all(jnp.isfinite(point))
    point = jnp.where(none | bad, plain, point)
    return point, grad @ (point - x), compact.forget(pairs, bad & turning)


def _cauchy(
    model: compact.Model, x: Array, grad: Array, lower: ArrayLike, upper: ArrayLike
) -> tuple[Array, Array, Array]:
    """A Cauchy point: displacement z [n], W^T z [2m] and what is free from there on."""
    end = jnp.where(grad > 0, x - lower, x - upper)
    reach = jnp.where(grad == 0, jnp.inf, end / jnp.where(grad == 0, 1, grad))

    def at(t: Array) -> tuple[Array, Array, Array]:
        z = jnp.clip(x - t * grad, lower, upper) - x
        wz = compact.onto(model, z)
        return z, wz, grad @ z + compact.product(model, z, wz, z, wz) / 2

    t = 1 / model.theta  # Its minimum if B were theta times the identity.
    z, wz, value = at(t)
    d = jnp.where(reach > t, -grad, 0)
    wd = compact.onto(model, d)
    slope = grad @ d + compact.product(model, z, wz, d, wd)
    move = _ratio(-slope, compact.product(model, d, wd, d, wd), 0)
    other, w_other, other_value = at(jnp.clip(t + move, 0.1 * t, 10 * t))
    better = other_value < value
    z, wz = jnp.where(better, other, z), jnp.where(better, w_other, wz)
    value = jnp.where(better, other_value, value)
    good = value <= _ENOUGH * (grad @ z)
    z, wz = jnp.where(good, z, 0), jnp.where(good, wz, 0)
    ahead = x + z
    return z, wz, jnp.where(good, (ahead > lower) & (ahead < upper), reach > 0)


def _ratio(above: Array, below: Array, otherwise: ArrayLike) -> Array:
    return jnp.where(below > 0, above / jnp.where(below > 0, below, 1), otherwise)
