"""Images looked at elsewhere: bilinear, black beyond the edges."""

import jax
import jax.numpy as jnp

from robust_jax.core.images import as_image, from_image
from robust_jax.core.types import Array


def at(x: Array, rows: Array, columns: Array) -> Array:
    """The image with each pixel taken from another place.

    Bilinear between pixels, zero outside. At whole places the pixel itself, to the bit.

    Args:
        x: rank 1 to 4, see `core.images`.
        rows, columns: where each pixel is taken from, in pixels, [H, W].
    Returns: the shape and dtype of x.
    """

    def look(channel: Array) -> Array:
        places = [rows, columns]
        return jax.scipy.ndimage.map_coordinates(channel, places, order=1)

    moved = jax.vmap(look, in_axes=2, out_axes=2)(as_image(x))
    return from_image(moved, x.shape).astype(x.dtype)


def turned(x: Array, degrees: Array, down: Array, right: Array) -> Array:
    """The image turned anticlockwise about its middle, then shifted.

    Args:
        x: rank 1 to 4.
        degrees, down, right: shapes []; shifts in pixels.
    """
    height, width, _ = as_image(x).shape
    rows, columns = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
    middle = (height - 1) / 2, (width - 1) / 2
    y, z = rows - middle[0] - down, columns - middle[1] - right
    angle = jnp.deg2rad(degrees)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return at(x, cos * y + sin * z + middle[0], cos * z - sin * y + middle[1])


def flowed(x: Array, flow: Array) -> Array:
    """Each pixel taken from a displaced place.

    Args:
        x: rank 1 to 4.
        flow: displacement down and to the right, in pixels, [H, W, 2].
    """
    height, width, _ = as_image(x).shape
    rows, columns = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
    return at(x, rows + flow[..., 0], columns + flow[..., 1])
