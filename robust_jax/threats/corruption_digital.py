"""Common corruptions, part three: what cameras and files do. See `corruption_noise`."""

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.core.types import Array, Key
from robust_jax.threats import corruption_blur as blur, warps

_BLOCK = 8
# ITU-T T.81, Annex K: quantisation of luminance, and of chrominance.
_LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
_CHROMINANCE = np.full((_BLOCK, _BLOCK), 99, np.float32)
_CHROMINANCE[:4, :4] = [
    [17, 18, 24, 47],
    [18, 21, 26, 66],
    [24, 26, 56, 99],
    [47, 66, 99, 99],
]
# ITU-R BT.601: red, green, blue to luminance and two differences of colour.
_COLOURS = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.168736, -0.331264, 0.5],
        [0.5, -0.418688, -0.081312],
    ],
    np.float32,
)


def contrast(key: Key, x: Array, severity: Array) -> Array:
    """Less difference from each channel's mean."""
    share = jnp.asarray((0.75, 0.5, 0.4, 0.3, 0.15), jnp.float32)[severity - 1]
    mean = jnp.mean(x, axis=(0, 1), keepdims=True)
    return mean + share * (x - mean)


def pixelate(key: Key, x: Array, severity: Array) -> Array:
    """Shrunk by boxes, and enlarged again."""
    lines = []
    for size in x.shape[:2]:
        table = [_boxes(size, c) for c in (0.95, 0.9, 0.85, 0.75, 0.65)]
        lines.append(jnp.asarray(np.stack(table), jnp.float32)[severity - 1])
    return jnp.einsum("ah,bw,hwc->abc", lines[0], lines[1], x)


def _boxes(size: int, share: float) -> np.ndarray:
    """A line resized to a share of its pixels and back, by means over areas."""
    small = max(1, int(size * share))
    return _resize(small, size) @ _resize(size, small)


def _resize(size: int, to: int) -> np.ndarray:
    """Means over areas: [to, size]."""
    edges = np.arange(to + 1) * size / to
    place = np.arange(size)
    low = np.maximum(edges[:-1, None], place)
    high = np.minimum(edges[1:, None], place + 1)
    shares = np.maximum(high - low, 0)
    return shares / shares.sum(axis=1, keepdims=True)


def jpeg(key: Key, x: Array, severity: Array) -> Array:
    """Blocks of 8 by 8 pixels, whose waves are rounded; no subsampling of colour."""
    quality = jnp.asarray((80.0, 65.0, 58.0, 50.0, 40.0), jnp.float32)[severity - 1]
    scale = jnp.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    height, width, channels = x.shape
    pads = [(0, -n % _BLOCK) for n in (height, width)]
    padded = jnp.pad(255 * x, (*pads, (0, 0)), mode="edge")
    if channels != 3:
        rounded = _rounded(padded - 128, _LUMINANCE, scale) + 128
    else:
        planes = padded @ _COLOURS.T
        light = _rounded(planes[..., :1] - 128, _LUMINANCE, scale) + 128
        colour = _rounded(planes[..., 1:], _CHROMINANCE, scale)
        planes = jnp.concatenate([light, colour], axis=2)
        rounded = planes @ np.linalg.inv(_COLOURS).T.astype(np.float32)
    return rounded[:height, :width] / 255


def _rounded(planes: Array, table: np.ndarray, scale: Array) -> Array:
    """Each block's waves rounded to multiples of the table, [H, W, C]."""
    steps = jnp.clip(jnp.floor(table.astype(np.float32) * scale + 0.5), 1, 255)
    number, place = np.arange(_BLOCK)[:, None], np.arange(_BLOCK)
    waves = np.cos(np.pi * (place + 0.5) * number / _BLOCK) * np.sqrt(2 / _BLOCK)
    waves[0] /= np.sqrt(2)
    waves = jnp.asarray(waves, jnp.float32)
    down, across = (n // _BLOCK for n in planes.shape[:2])
    blocks = planes.reshape(down, _BLOCK, across, _BLOCK, planes.shape[2])
    amounts = jnp.einsum("ai,bj,yixjc->yaxbc", waves, waves, blocks)
    steps = steps[None, :, None, :, None]
    amounts = jnp.round(amounts / steps) * steps
    blocks = jnp.einsum("ai,bj,yaxbc->yixjc", waves, waves, amounts)
    return blocks.reshape(planes.shape)


def elastic(key: Key, x: Array, severity: Array) -> Array:
    """A random affine map, then a smooth random flow."""
    affine_key, flow_key = jax.random.split(key)
    size = x.shape[0]
    reach = jnp.asarray((0.0, 0.05, 0.08, 0.1, 0.1), jnp.float32)[severity - 1] * size
    corner = (
        jnp.asarray((0.08, 0.07, 0.06, 0.05, 0.03), jnp.float32)[severity - 1] * size
    )
    sigmas = tuple(32 * s for s in (0.02, 0.2, 0.06, 0.04, 0.03))
    rows, columns = jnp.meshgrid(*map(jnp.arange, x.shape[:2]), indexing="ij")
    flow = jax.random.uniform(flow_key, (*x.shape[:2], 2), jnp.float32, -1.0)
    flow = reach * blur.smooth(flow, sigmas, severity)
    moves = jax.random.uniform(affine_key, (3, 2), jnp.float32, -corner, corner)
    moved = flow + affine(moves, x.shape[0], x.shape[1])
    return warps.at(
        x,
        _reflected(rows + moved[..., 0], x.shape[0]),
        _reflected(columns + moved[..., 1], x.shape[1]),
    )


def affine(moves: Array, height: int, width: int) -> Array:
    """The affine displacement that moves three corners of a square, [H, W, 2].

    The square, about the middle, has sides of two thirds of the height; its corners are
    (+, +), (+, -) and (-, -), [3, 2] in pixels.
    """
    third = max(height // 3, 1)
    y = jnp.arange(height)[:, None, None] - height // 2
    z = jnp.arange(width)[None, :, None] - width // 2
    moves = moves[:, None, None]
    across, down = moves[0] - moves[1], moves[1] - moves[2]
    return moves[1] + ((y - third) * down + (z + third) * across) / (2 * third)


def _reflected(place: Array, size: int) -> Array:
    """Places beyond an end count from it inwards."""
    last = max(size - 1, 1)
    folded = jnp.mod(place, 2 * last)
    return jnp.minimum(folded, 2 * last - folded)
