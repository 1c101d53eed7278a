"""The Euclidean length of the displacement is at most eps. See `ball`."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from robust_jax.core.types import Array, Key
from robust_jax.threats.ball import DualBall, Way
from robust_jax.threats.search import last_float
from robust_jax.threats.vectors import or_one


class L2(DualBall):
    """The Euclidean length of the displacement is at most eps. See `Ball`.

    >>> x = jnp.full(3, 0.5)
    >>> rj.threats.L2(0.3).project(jnp.array([1.0, 0.6, 0.5]), x)
    Array([0.794, 0.559, 0.5], dtype=float32)
    """

    name: ClassVar[str] = "l2"

    @staticmethod
    def size(delta: Array) -> Array:
        """The Euclidean length, safe from overflow and underflow.

        Guarantees: its gradient at zero is zero, not NaN.
        """
        largest = lax.stop_gradient(
            jnp.max(jnp.abs(delta))
        )  # The result is free of it.
        moved = largest > 0
        squares = jnp.sum((delta / jnp.where(moved, largest, 1)) ** 2)
        return largest * jnp.sqrt(jnp.where(moved, squares, 1))

    @staticmethod
    def _measured(sizes: np.ndarray) -> np.ndarray:
        return np.sqrt((sizes**2).sum(axis=1))

    def _dual(self, grad: Array) -> Array:
        return L2.size(grad)

    def _project(self, x: Array, x0: Array) -> Array:
        """The largest feasible scale of the displacement, in [0, 1].

        The optimality conditions give clip(x0 + scale * (x - x0)). Clipping after a
        projection onto the ball alone would leave part of eps unused.
        """
        delta = x - x0
        # In units of eps, nothing that matters over- or underflows; at eps = 0 the
        # quotients are not finite and nothing fits, so that the scale is 0.
        pull, room = jnp.abs(delta) / self.eps, self._room(delta, x0) / self.eps

        def fits(scale: Array) -> Array:
            return jnp.sum(jnp.minimum(scale * pull, room) ** 2) <= 1

        nearest = self._clip(x)
        inside = self.size(nearest - x0) <= self.eps
        scaled = x0 + last_float(fits, x.dtype) * delta
        return jnp.where(inside, nearest, self._clip(scaled))

    def _sample(self, key: Key, x0: Array) -> Array:
        """Uniform in the ball, then clipped: a Gaussian's direction is uniform."""
        return self._by_radius(jax.random.normal, key, x0)

    def _steepest(self, grad: Array, x: Array) -> Array:
        """eps times the gradient at unit Euclidean length."""
        grad = self._free(grad)
        return self._times(grad / or_one(self.size(grad)))

    def _cross(self, way: Way) -> Array:
        """Moves along the normal, each coordinate as far as it can."""

        def moves(multiple: Array) -> Array:
            along = jnp.where(way.weight > 0, multiple * way.weight, 0)  # Not inf * 0.
            return jnp.minimum(along, way.room)

        def short(multiple: Array) -> Array:
            return jnp.sum(way.weight * moves(multiple)) <= way.gap

        return moves(last_float(short, way.room.dtype))

    def proximal(self, v: Array, weight: Array) -> Array:
        """v shortened by weight, zero if it is shorter."""
        size = self.size(v)
        return v * jnp.maximum(1 - weight / jnp.where(size > 0, size, 1), 0)
