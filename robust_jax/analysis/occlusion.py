"""What does a net miss when a part of the image is covered? (host)"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from robust_jax.core import checks
from robust_jax.core.brief import brief, brief_html
from robust_jax.core.closures import values_of_now
from robust_jax.core.types import Array


class Occlusion(NamedTuple):
    """Scores with a window over each place of a grid."""

    scores: NDArray[np.floating]  # [R, C, *M]
    tops: NDArray[np.integer]  # [R], of the windows
    lefts: NDArray[np.integer]  # [C]

    def __repr__(self) -> str:
        return brief(self)

    def _repr_html_(self) -> str:
        return brief_html(self)


def occlude(
    scores_fn: Callable[[Array], Array],
    image: NDArray[np.floating],
    size: int,
    stride: int = 1,
    fill: ArrayLike = 0.0,
) -> Occlusion:
    """Scores of an image with a square window slid over it.

    The fill should be the data's background: grey on black is ink of its own.

    Args:
        scores_fn: images [B, H, W, C] -> scores [B, *M].
        image: shape [H, W, C].
        size: side of the window, pixels.
        stride: between windows.
        fill: what covers the pixels, broadcast to [size, size, C].
    Raises: ValueError: a window that does not fit.
    References: Zeiler & Fergus, "Visualizing and understanding convolutional networks",
        ECCV 2014, Sec. 4.2.
    """
    checks.positive_integer("size", size)
    checks.positive_integer("stride", stride)
    height, width, channels = image.shape
    if size > min(height, width):
        raise ValueError(f"size={size} in an image of {height} x {width}")
    tops = np.arange(0, height - size + 1, stride)
    lefts = np.arange(0, width - size + 1, stride)
    window = jnp.broadcast_to(jnp.asarray(fill, image.dtype), (size, size, channels))
    net = values_of_now(scores_fn, np.broadcast_to(image, (len(lefts), *image.shape)))
    rest = jnp.asarray(lefts), image, window
    found = [np.asarray(_row(net, top, *rest)) for top in tops]
    return Occlusion(np.stack(found), tops, lefts)


@jax.jit
def _row(
    scores_fn: Callable[[Array], Array],
    top: Array,
    lefts: Array,
    image: Array,
    window: Array,
) -> Array:
    def covered(left: Array) -> Array:
        return jax.lax.dynamic_update_slice(image, window, (top, left, 0))

    return scores_fn(jax.vmap(covered)(lefts))


def ink_under(
    image: NDArray[np.floating], size: int, stride: int = 1
) -> NDArray[np.float64]:
    """The mean value under each window of `occlude`, shape [R, C]."""
    ones = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))
    return ones[::stride, ::stride].mean(axis=(2, 3, 4))
