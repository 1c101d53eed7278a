"""Inputs of rank 1 to 4 as images with channels."""

import jax.numpy as jnp

from robust_jax.core.types import Array


def image_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(H, W, C) of an input of rank 1 to 4.

    A vector [D] is one column of D pixels, [H, W] has one channel, and in
    [T, H, W, C] all T * C numbers of a pixel are its channels.
    """
    height, width, *channels = (*shape, 1, 1)[:3] if len(shape) < 4 else shape[1:]
    frames = shape[0] if len(shape) == 4 else 1
    return height, width, frames * channels[0]


def as_image(x: Array) -> Array:
    """An input of rank 1 to 4 as [H, W, C], see `image_shape`."""
    pixels_first = jnp.moveaxis(x, 0, 2) if x.ndim == 4 else x
    return pixels_first.reshape(image_shape(x.shape))


def from_image(image: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of `as_image`."""
    if len(shape) < 4:
        return image.reshape(shape)
    frames, height, width, channels = shape
    return jnp.moveaxis(image.reshape(height, width, frames, channels), 2, 0)
