"""Waves across an image, the cosine transform's basis: directions of low frequency."""

import jax.numpy as jnp
import numpy as np

from robust_jax.core.images import as_image, from_image, image_shape
from robust_jax.core.types import Array


def cosines(size: int, count: int) -> np.ndarray:
    """The `count` lowest orthonormal DCT-II waves of `size` points: [count, size]."""
    place, number = np.arange(size), np.arange(count)[:, None]
    waves = np.cos(np.pi * (place + 0.5) * number / size)
    return waves * np.where(number == 0, 1 / size, 2 / size) ** 0.5


def smoothed(x: Array, side: int) -> Array:
    """The part of x in the `side` x `side` lowest frequencies of each channel.

    Of white noise, white noise among those waves.

    Args:
        x: [*S], see `core.images`.
        side: waves along each axis, >= 1; of an axis that is shorter all of them.
    """
    height, width, _ = image_shape(x.shape)
    down = jnp.asarray(cosines(height, min(side, height)), x.dtype)
    across = jnp.asarray(cosines(width, min(side, width)), x.dtype)
    kept = jnp.einsum(
        "ah,ai,bw,bv,ivc->hwc",
        down,
        down,
        across,
        across,
        as_image(x),
        optimize="optimal",
    )
    return from_image(kept, x.shape)


def wave(shape: tuple[int, ...], down: Array, across: Array, channel: Array) -> Array:
    """One orthonormal wave of an image of a shape [*S], by its numbers."""
    height, width, channels = image_shape(shape)
    columns = [jnp.asarray(cosines(n, n), jnp.float32) for n in (height, width)]
    picture = columns[0][down][:, None] * columns[1][across]
    one = jnp.arange(channels) == channel
    return from_image(picture[:, :, None] * one, shape)
