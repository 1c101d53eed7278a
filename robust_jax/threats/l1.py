"""The absolute displacements sum to at most eps. See `ball`."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.core.types import Array, Key
from robust_jax.threats.ball import DualBall, Way
from robust_jax.threats.search import last_float
from robust_jax.threats.vectors import or_one


class L1(DualBall):
    """The absolute displacements sum to at most eps. See `Ball`.

    >>> x = jnp.full(3, 0.5)
    >>> rj.threats.L1(0.3).project(jnp.array([1.0, 0.6, 0.5]), x)
    Array([0.8, 0.5, 0.5], dtype=float32)
    """

    name: ClassVar[str] = "l1"

    @staticmethod
    def size(delta: Array) -> Array:
        """The sum of the absolute coordinates."""
        return jnp.sum(jnp.abs(delta))

    @staticmethod
    def _measured(sizes: np.ndarray) -> np.ndarray:
        return sizes.sum(axis=1)

    def _dual(self, grad: Array) -> Array:
        return jnp.max(jnp.abs(grad))

    def _project(self, x: Array, x0: Array) -> Array:
        """Soft thresholding, each displacement capped by its room in the box.

        The smallest threshold that is feasible (Croce & Hein, "Mind the box", ICML
        2021), then what its last bit leaves of eps shared by the coordinates that are
        neither zero nor capped, which matters if x is far outside.
        """
        delta = x - x0
        pull, room = jnp.abs(delta), self._room(delta, x0)

        def exceeds(threshold: Array) -> Array:
            return jnp.sum(jnp.clip(pull - threshold, 0, room)) > self.eps

        nearest = self._clip(x)
        inside = self.size(nearest - x0) <= self.eps
        threshold = jnp.nextafter(last_float(exceeds, x.dtype), jnp.inf)
        moved = jnp.clip(pull - threshold, 0, room)
        free = (pull >= threshold) & (moved < room)
        unused = jnp.maximum(self.eps - jnp.sum(moved), 0)
        moved += jnp.where(free, unused / jnp.maximum(jnp.sum(free), 1), 0)
        shrunk = self._clip(x0 + jnp.sign(delta) * moved)
        return jnp.where(inside, nearest, shrunk)

    def _sample(self, key: Key, x0: Array) -> Array:
        """Uniform in the ball, then clipped: Laplace draws fall evenly on its faces."""
        return self._by_radius(jax.random.laplace, key, x0)

    def _steepest(self, grad: Array, x: Array) -> Array:
        """All of eps on the coordinate with the largest absolute gradient.

        Edge cases: coordinates that tie share eps equally, which climbs as much, keeps
        further from the box and does not depend on the order of the coordinates.
        """
        grad = self._movable(grad, x)
        largest = jnp.max(jnp.abs(grad))
        steepest = jnp.where(jnp.abs(grad) == largest, jnp.sign(grad), 0)
        shared = steepest / or_one(self.size(steepest))
        return self._times(jnp.where(jnp.any(jnp.isnan(grad)), jnp.nan, shared))

    def _cross(self, way: Way) -> Array:
        """Those with the largest normal move as far as they can, and no others.

        Edge cases: those that tie for the last place share what is left.
        """
        gain = way.weight * way.room

        def enough(threshold: Array) -> Array:
            covered = jnp.sum(jnp.where(way.weight >= threshold, gain, 0)) >= way.gap
            return covered & (threshold <= 1)  # Nothing covers a gap of zero.

        threshold = last_float(enough, way.room.dtype)
        above, tied = way.weight > threshold, way.weight == threshold
        left = jnp.maximum(way.gap - jnp.sum(jnp.where(above, gain, 0)), 0)
        # No tied coordinate needs more than all that is left; rooms may be infinite.
        most = jnp.where(tied, jnp.minimum(way.room, left / or_one(threshold)), 0)
        share = jnp.minimum(left / or_one(threshold * jnp.sum(most)), 1)
        return jnp.where(above, way.room, share * most)

    def proximal(self, v: Array, weight: Array) -> Array:
        """The soft threshold."""
        return jnp.sign(v) * jnp.maximum(jnp.abs(v) - weight, 0)
