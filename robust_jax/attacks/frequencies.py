"""Waves across an image, the cosine transform's basis: directions of low frequency."""

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.attacks.square_patterns import from_image, image_shape
from robust_jax.core.types import Array, Key


def cosines(size: int, count: int) -> np.ndarray:
    """The `count` lowest orthonormal DCT-II waves of `size` points: [count, size]."""
    place, number = np.arange(size), np.arange(count)[:, None]
    waves = np.cos(np.pi * (place + 0.5) * number / size)
    return waves * np.where(number == 0, 1 / size, 2 / size) ** 0.5


def smooth_noise(key: Key, x: Array, side: int) -> Array:
    """Gaussian noise among the `side` x `side` lowest frequencies of each channel.

    Args:
        x: what its shape and dtype are like, [*S]; see `square_patterns.image_shape`.
        side: waves along each axis, >= 1; of an axis that is shorter all of them.
    """
    height, width, channels = image_shape(x.shape)
    down = jnp.asarray(cosines(height, min(side, height)), x.dtype)
    across = jnp.asarray(cosines(width, min(side, width)), x.dtype)
    shape = (len(down), len(across), channels)
    amounts = jax.random.normal(key, shape, x.dtype)
    return from_image(jnp.einsum("abc,ah,bw->hwc", amounts, down, across), x.shape)


def by_frequency(height: int, width: int) -> np.ndarray:
    """All waves (down, across) of an image, the slowest first: [height * width, 2].

    Ordered by the larger of the two numbers, then by their sum.
    """
    pairs = np.stack(np.divmod(np.arange(height * width), width), axis=1)
    return pairs[np.lexsort((pairs.sum(1), pairs.max(1)))]


def wave(shape: tuple[int, ...], down: Array, across: Array, channel: Array) -> Array:
    """One orthonormal wave of an image of a shape [*S], by its numbers."""
    height, width, channels = image_shape(shape)
    columns = [jnp.asarray(cosines(n, n), jnp.float32) for n in (height, width)]
    picture = columns[0][down][:, None] * columns[1][across]
    one = jnp.arange(channels) == channel
    return from_image(picture[:, :, None] * one, shape)
