"""At most floor(eps) coordinates may change. See `ball`."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.core.types import Array, Key
from robust_jax.threats.ball import Ball
from robust_jax.threats.search import keep_largest


class L0(Ball):
    """At most floor(eps) coordinates may change, to any value of the box. See `Ball`.

    A coordinate is one number: one channel of one pixel.

    >>> x = jnp.full(3, 0.5)
    >>> rj.threats.L0(1.0).project(jnp.array([1.0, 0.6, 0.5]), x)
    Array([1., 0.5, 0.5], dtype=float32)
    """

    name: ClassVar[str] = "l0"
    counts: ClassVar[bool] = True

    @staticmethod
    def size(delta: Array) -> Array:
        """The number of coordinates that are not zero, in the dtype of delta."""
        return jnp.sum(delta != 0).astype(delta.dtype)

    def largest(self, width: np.ndarray) -> tuple[float, str]:
        """All coordinates."""
        return width[0].size, f"the {width[0].size:,} numbers of an image"

    @staticmethod
    def _measured(sizes: np.ndarray) -> np.ndarray:
        counts = (sizes > 0).sum(axis=1).astype(np.float64)
        return np.where(np.isinf(sizes).any(axis=1), np.inf, counts)

    def _project(self, x: Array, x0: Array) -> Array:
        """The coordinates that gain the most move, the others are x0's.

        Letting a coordinate move lowers the squared distance to x by delta^2 less what
        the box leaves of it, (delta - clipped)^2.
        Edge cases: of equal gains, the coordinates that come first.
        """
        nearest = self._clip(x)
        clipped = nearest - x0
        gain = jnp.maximum(clipped * (2 * (x - x0) - clipped), 0)
        # Gains of tiny moves underflow and would tie.
        inside = self.size(clipped) <= self.eps
        return jnp.where(inside | keep_largest(gain, self.eps), nearest, x0)

    def _sample(self, key: Key, x0: Array) -> Array:
        """Uniform values of the box in floor(eps) coordinates chosen at random.

        Edge cases: eps >= d moves all coordinates.
        """
        rank_key, value_key = jax.random.split(key)
        ranks = self._free(jax.random.uniform(rank_key, x0.shape, x0.dtype))
        unit = jax.random.uniform(value_key, x0.shape, x0.dtype)
        return jnp.where(keep_largest(ranks, self.eps), self._stretch(unit), x0)

    def _steepest(self, grad: Array, x: Array) -> Array:
        """The width of the box, signed, on the floor(eps) largest absolute gradients.

        The ball alone bounds no coordinate, so the step is as long as any can be; a
        projection cuts it at the box.
        Edge cases: of equal gradients, the coordinates that come first; needs a finite
        box.
        """
        grad = self._movable(grad, x)
        moved = keep_largest(jnp.abs(grad), self.eps)
        return jnp.where(moved, (self.upper - self.lower) * jnp.sign(grad), 0)

    def proximal(self, v: Array, weight: Array) -> Array:
        """Of the sum of |z|^(2/3), which stands in for the number of entries.

        Guarantees: the global minimiser, which is zero up to 2 (2 weight / 3)^(3/4).

        References: Cao, Sun & Xu, "Fast image deconvolution using closed-form
            thresholding formulas of L_q (q = 1/2, 2/3) regularization", JVCIR 2013,
            Theorem 2. Differs from it in: half the square, so that its lambda is twice
            the weight.
        """
        size, factor = jnp.abs(v), 2 * weight
        moved = size > 2 * (factor / 3) ** 0.75
        size = jnp.where(moved, size, 1)
        angle = jnp.arccosh(jnp.maximum(27 / 16 * size**2 * factor**-1.5, 1)) / 3
        root = 2 / jnp.sqrt(3.0) * factor**0.25 * jnp.sqrt(jnp.cosh(angle))
        inner = jnp.maximum(2 * size / root - root**2, 0)
        return jnp.where(moved, jnp.sign(v) * ((root + jnp.sqrt(inner)) / 2) ** 3, 0)
