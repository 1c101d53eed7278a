"""Every coordinate may move by eps. See `ball` for what its operations guarantee."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from robust_jax.core.types import Array, Key
from robust_jax.threats.ball import DualBall, Way
from robust_jax.threats.l1 import L1
from robust_jax.threats.search import last_float


class Linf(DualBall):
    """Every coordinate may move by eps (Goodfellow et al., ICLR 2015). See `Ball`."""

    name: ClassVar[str] = "linf"

    @staticmethod
    def size(delta: Array) -> Array:
        """The largest absolute coordinate."""
        return jnp.max(jnp.abs(delta))

    @staticmethod
    def _dual(grad: Array) -> Array:
        return jnp.sum(jnp.abs(grad))

    def _project(self, x: Array, x0: Array) -> Array:
        low = jnp.maximum(x0 - self.eps, self.lower)
        return jnp.clip(x, low, jnp.minimum(x0 + self.eps, self.upper))

    def _sample(self, key: Key, x0: Array) -> Array:
        """Uniform in the ball, then clipped (Madry et al., ICLR 2018)."""
        unit = jax.random.uniform(key, x0.shape, x0.dtype)
        in_ball = self._clip(x0 + self.eps * (2 * unit - 1))
        return jnp.where(jnp.isinf(self.eps), self._stretch(unit), in_ball)

    def _steepest(self, grad: Array, x: Array) -> Array:
        """eps times the sign of the gradient."""
        return self._times(jnp.sign(self._movable(grad, x)))

    def _cross(self, way: Way) -> Array:
        """Every coordinate moves by one common length, or as far as it can."""

        def short(length: Array) -> Array:
            return jnp.sum(way.weight * jnp.minimum(length, way.room)) <= way.gap

        return jnp.minimum(last_float(short, way.room.dtype), way.room)

    def proximal(self, v: Array, weight: Array) -> Array:
        """v less its projection onto an L1 ball (Moreau)."""
        return v - L1(weight, -jnp.inf, jnp.inf).project(v, jnp.zeros_like(v))
