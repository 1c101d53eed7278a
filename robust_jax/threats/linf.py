"""Every coordinate may move by eps. See `ball` for what its operations guarantee."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.core.types import Array, Key
from robust_jax.threats.ball import DualBall, Input, Way
from robust_jax.threats.l1 import L1
from robust_jax.threats.search import last_float
from robust_jax.threats.vectors import bound


class Linf(DualBall):
    """Every coordinate may move by eps (Goodfellow et al., ICLR 2015). See `Ball`.

    Args:
        scale: of eps, >= 0, such as per pixel or channel: coordinate i may move by
            eps * scale_i, and the distance is the largest |delta_i| / scale_i.
            Broadcasts to the input.

    >>> x = jnp.full(3, 0.5)
    >>> rj.threats.Linf(0.3).project(jnp.array([1.0, 0.6, 0.5]), x)
    Array([0.8, 0.6, 0.5], dtype=float32)
    """

    name: ClassVar[str] = "linf"
    sums: ClassVar[bool] = False
    scale: Array | None = None

    @staticmethod
    def size(delta: Array) -> Array:
        """The largest absolute coordinate."""
        return jnp.max(jnp.abs(delta))

    def measured(self, delta: np.ndarray) -> np.ndarray:
        """See `Ball`."""
        if self.scale is not None:
            by = np.broadcast_to(np.asarray(self.scale, np.float64), delta.shape)
            still = delta == 0
            with np.errstate(divide="ignore"):
                delta = np.where(still, 0, delta / np.where(still, 1, by))
        return super().measured(delta)

    def largest(self, width: np.ndarray) -> tuple[float, str]:
        """The width of the box, where eps is largest in units of it."""
        still = 1 if self.scale is None else np.asarray(self.scale) != 0
        most = float(self.replace(mask=None).measured(width * still).max())
        unit = "" if self.scale is None else " in units of the scale"
        return most, f"the width {most:g} of the threat's box{unit}"

    @staticmethod
    def _measured(sizes: np.ndarray) -> np.ndarray:
        return sizes.max(axis=1)

    def _in_units(self, delta: Array, x: Any) -> Array:
        if self.scale is None:
            return delta
        by = bound(self.scale, x).astype(delta.dtype)
        return jnp.where(delta == 0, 0, delta / jnp.where(delta == 0, 1, by))

    def _by_scale(self, length: Array | float) -> Array:
        """A length of each coordinate."""
        if self.scale is None:
            return jnp.asarray(length)
        return jnp.where(self.scale == 0, 0, length * self.scale)  # Not inf * 0.

    def _times(self, direction: Array) -> Array:
        return jnp.where(direction == 0, 0, self._by_scale(self.eps) * direction)

    def dual(self, grad: Input) -> Array:
        """The dual norm, shape []."""
        if self.scale is None:
            return super().dual(grad)
        scale = jnp.asarray(self.scale)
        by = jax.tree.map(lambda g: jnp.broadcast_to(scale, g.shape) * g, grad)
        return self.replace(scale=None).dual(by)

    def _dual(self, grad: Array) -> Array:
        return jnp.sum(jnp.abs(grad))

    def _project(self, x: Array, x0: Array) -> Array:
        most = self._by_scale(self.eps)
        low = jnp.maximum(x0 - most, self.lower)
        return jnp.clip(x, low, jnp.minimum(x0 + most, self.upper))

    def _sample(self, key: Key, x0: Array) -> Array:
        """Uniform in the ball, then clipped (Madry et al., ICLR 2018)."""
        unit = jax.random.uniform(key, x0.shape, x0.dtype)
        in_ball = self._clip(x0 + self._by_scale(self.eps) * (2 * unit - 1))
        return jnp.where(jnp.isinf(self.eps), self._stretch(unit), in_ball)

    def _steepest(self, grad: Array, x: Array) -> Array:
        """eps times the sign of the gradient."""
        return self._times(jnp.sign(self._movable(grad, x)))

    def _cross(self, way: Way) -> Array:
        """Every coordinate moves by one common length, or as far as it can."""

        def moves(length: Array) -> Array:
            return jnp.minimum(self._by_scale(length), way.room)

        def short(length: Array) -> Array:
            return jnp.sum(way.weight * moves(length)) <= way.gap

        return moves(last_float(short, way.room.dtype))

    def proximal(self, v: Array, weight: Array) -> Array:
        """v less its projection onto an L1 ball (Moreau)."""
        return v - L1(weight, -jnp.inf, jnp.inf).project(v, jnp.zeros_like(v))
