"""A square of pixels that may be anything: the adversarial patch."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.core.faces import shut, snapped
from robust_jax.core.images import as_image, from_image, image_shape
from robust_jax.core.types import Array, Key
from robust_jax.core.values import Value

_ELSEWHERE = 0.25


class Patch(Value):
    """The pixels of one square of side floor(eps), anywhere, may take any value.

    A threat as the balls are, for images of rank 1 to 4 (`core.images`): side and box
    are traced. All channels of a pixel count once.
    Edge cases: eps below 1 leaves x0 alone; a side larger than the image is all of it;
    of equally good places the first one, row by row; projections and samples assume
    that x0 is in the box, which must be finite.

    Args:
        eps: side in pixels, shape [], >= 0.
        lower: lower end of the box: a scalar, or what broadcasts to the input.
        upper: upper end of the box, likewise.

    >>> threat, image = rj.threats.Patch(2.0), jnp.zeros((3, 3))
    >>> threat.distance(jnp.eye(3), image)
    Array(3., dtype=float32)
    """

    name: ClassVar[str] = "patch"
    sums: ClassVar[bool] = False
    counts: ClassVar[bool] = True
    eps: Array | float
    lower: Array | float = 0.0
    upper: Array | float = 1.0
    mask: Array | None = None
    lattice: Array | float | None = None

    def project(self, x: Array, x0: Array) -> Array:
        """The nearest point (Euclidean) of the set.

        Inside the square the nearest values of the box, outside x0: the square is where
        that takes off most of the squared distance.
        """
        wide = jnp.promote_types(x.dtype, jnp.float32)
        nearest = jnp.clip(x, *self._box(x0)).astype(wide)
        moved = nearest - x0
        gain = jnp.maximum(moved * (2 * (x - x0) - moved), 0)
        inside = jnp.all(self._extent(x, x0) <= self._side())
        square = from_image(self._best(as_image(gain)), x.shape) | inside
        found = jnp.where(square, nearest, x0).astype(x.dtype)
        return snapped(self.lattice, found, x0)

    def sample(self, key: Key, x0: Array) -> Array:
        """Uniform values of the box in a square at a uniform place."""
        place_key, value_key = jax.random.split(key)
        at = jax.random.randint(place_key, (2,), 0, self.room(x0) + 1, jnp.int32)
        wide = jnp.promote_types(x0.dtype, jnp.float32)
        values = jax.random.uniform(value_key, x0.shape, wide)
        values = self.lower + values * (self.upper - self.lower)
        drawn = self.paste(x0, jnp.clip(values, self.lower, self.upper), at)
        return snapped(self.lattice, drawn, x0)

    def steepest(self, grad: Array, x: Array) -> Array:
        """The width of the box, signed, in the square that climbs most.

        By the gradient, as far as the box lets each coordinate go along it. Elsewhere a
        quarter of the width: projected, a first step lies in that square, and later
        ones repaint the square where a patch has grown.
        """
        lower, upper = self._box(x)
        room = jnp.where(grad > 0, upper - x, x - lower)
        square = from_image(self._best(as_image(jnp.abs(grad) * room)), x.shape)
        step = jnp.where(square, 1, _ELSEWHERE) * jnp.sign(grad)
        return jnp.where(room > 0, (self.upper - self.lower) * step, 0)

    def distance(self, x: Array, x0: Array) -> Array:
        """The side of the smallest square that holds all changed pixels, shape []."""
        extent = jnp.max(self._extent(x, x0))
        return extent.astype(jnp.promote_types(x.dtype, jnp.float32))

    def measured(self, delta: np.ndarray) -> np.ndarray:
        """The sides around all that changed, on the host, float64 [N]; see `Ball`."""
        is_wrong = np.zeros(len(delta), bool)
        if self.mask is not None:
            wrong = np.broadcast_to(np.asarray(self.mask) == 0, delta.shape) & (
                delta != 0
            )
            is_wrong = wrong.reshape(len(delta), -1).any(axis=1)
        return np.where(is_wrong, np.inf, _sides_of(delta != 0))

    def largest(self, width: np.ndarray) -> tuple[float, str]:
        """The larger side of an image."""
        height, across, _ = image_shape(width.shape[1:])
        return max(height, across), f"the sides {height} and {across} of an image"

    def room(self, x: Array) -> Array:
        """The last row and the last column at which the square may begin, [2] int32."""
        image = as_image(x)
        return jnp.array(image.shape[:2], jnp.int32) - self._sides(image)

    def paste(self, x: Array, canvas: Array, at: Array) -> Array:
        """x with a patch in it, which lies in the upper left corner of a canvas.

        Args:
            canvas: the shape of x; what is beyond the side does not count.
            at: row and column, [2] int32, at most `room`.
        """
        image, patch = as_image(x), as_image(canvas)
        moved = jnp.roll(patch, at, axis=(0, 1))
        pasted = jnp.where(self._square(image, at), moved, image)
        pasted = from_image(pasted, x.shape).astype(x.dtype)
        return pasted if self.mask is None else jnp.where(self.mask != 0, pasted, x)

    def _box(self, x: Array) -> tuple[Array | float, Array | float]:
        """The box, in which x alone is where the mask is zero."""
        if self.mask is None:
            return self.lower, self.upper
        return shut(self.mask, self.lower, self.upper, x)

    def _side(self) -> Array:
        return jnp.floor(jnp.asarray(self.eps))

    def _sides(self, image: Array) -> Array:
        """Height and width of the square in an image [H, W, C], [2] int32."""
        sides = jnp.array(image.shape[:2], jnp.float32)
        return jnp.minimum(self._side(), sides).astype(jnp.int32)

    def _square(self, image: Array, at: Array) -> Array:
        """Marks the square at a row and column, [H, W, 1]."""
        size = self._sides(image)
        rows, columns = (jnp.arange(n) for n in image.shape[:2])
        in_rows = (rows >= at[0]) & (rows < at[0] + size[0])
        in_columns = (columns >= at[1]) & (columns < at[1] + size[1])
        return (in_rows[:, None] & in_columns[None])[..., None]

    def _best(self, values: Array) -> Array:
        """Marks the square with the largest sum of values [H, W, C], [H, W, C]."""
        size, energy = self._sides(values), jnp.sum(values, axis=2)
        spans = [
            _spans(n, s) for n, s in zip(energy.shape, (size[0], size[1]), strict=True)
        ]
        (down, fits_down), (across, fits_across) = spans
        precise = jax.lax.Precision.HIGHEST
        sums = jnp.einsum("ah,hw,bw->ab", down, energy, across, precision=precise)
        sums = jnp.where(fits_down[:, None] & fits_across[None], sums, -jnp.inf)
        at = jnp.stack(jnp.divmod(jnp.argmax(sums), sums.shape[1]))
        return jnp.broadcast_to(self._square(values, at), values.shape)

    def _lines(self, x: Array, x0: Array) -> tuple[Array, Array]:
        """Which rows and which columns have a changed pixel."""
        changed = jnp.any(as_image(x != x0), axis=2)
        return jnp.any(changed, axis=1), jnp.any(changed, axis=0)

    def _extent(self, x: Array, x0: Array) -> Array:
        """From the first to the last changed row, and column; [2] int32."""
        return jnp.stack([_length(line) for line in self._lines(x, x0)])


def _spans(length: int, size: Array) -> tuple[Array, Array]:
    """Row a marks the places from a to a + size, [n, n]; which of them fit, [n]."""
    start, place = jnp.arange(length)[:, None], jnp.arange(length)[None]
    inside = (place >= start) & (place < start + size)
    return inside.astype(jnp.float32), start[:, 0] + size <= length


def _length(marks: Array) -> Array:
    first, last = jnp.argmax(marks), len(marks) - 1 - jnp.argmax(marks[::-1])
    return jnp.where(jnp.any(marks), last - first + 1, 0)


def _sides_of(changed: np.ndarray) -> np.ndarray:
    """Of the smallest square around all that changed, by rows and columns."""
    sides = np.zeros(len(changed))
    rows = 2 if changed.ndim == 5 else 1  # Frames come before them.
    for axis in range(rows, min(rows + 2, changed.ndim)):
        others = tuple(a for a in range(1, changed.ndim) if a != axis)
        line = np.any(changed, axis=others)
        first, last = line.argmax(axis=1), line.shape[1] - line[:, ::-1].argmax(axis=1)
        sides = np.maximum(sides, np.where(line.any(axis=1), last - first, 0))
    return sides
