"""Common corruptions, part two: blur. See `corruption_noise`."""

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.core.types import Array, Key
from robust_jax.threats import warps

_REFERENCE = 32  # Pixels that the constants are made for.
_TAPS = 10  # Of a motion blur, each way.
_ZOOMS = 26


def _lengths(values: tuple[float, ...], size: int) -> np.ndarray:
    return np.asarray(values) * size / _REFERENCE


def gaussian_matrix(size: int, sigma: float) -> np.ndarray:
    """Smoothing of a line of pixels, its ends repeated; [size, size]."""
    reach = max(1, int(np.ceil(4 * sigma)))
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / max(sigma, 1e-6)) ** 2)
    matrix = np.zeros((size, size))
    for row in range(size):
        places = np.clip(row + offsets, 0, size - 1)
        np.add.at(matrix[row], places, weights / weights.sum())
    return matrix


def smooth(x: Array, sigmas: tuple[float, ...], severity: Array) -> Array:
    """Gaussian smoothing whose width, in pixels of 32, the severity chooses."""
    lines = []
    for size in x.shape[:2]:
        table = [gaussian_matrix(size, s) for s in _lengths(sigmas, size)]
        lines.append(jnp.asarray(np.stack(table), jnp.float32)[severity - 1])
    return jnp.einsum("ah,bw,hwc->abc", lines[0], lines[1], x)


def gaussian_blur(key: Key, x: Array, severity: Array) -> Array:
    """Gaussian smoothing."""
    return smooth(x, (0.4, 0.6, 0.7, 0.8, 1.0), severity)


def defocus_blur(key: Key, x: Array, severity: Array) -> Array:
    """A disk, smoothed at its rim, in place of every point."""
    size = max(x.shape[:2])
    radii = _lengths((0.3, 0.4, 0.5, 1.0, 1.5), size)
    rims = _lengths((0.4, 0.5, 0.6, 0.2, 0.1), size)
    pairs = zip(radii, rims, strict=True)
    table = np.stack([_disk(r, s, int(size / 8) + 3) for r, s in pairs])
    kernel = jnp.asarray(table, jnp.float32)[severity - 1]
    reach = kernel.shape[0] // 2
    padded = jnp.pad(x, ((reach, reach), (reach, reach), (0, 0)), mode="edge")

    def filtered(channel: Array) -> Array:
        return jax.scipy.signal.convolve(channel, kernel, mode="valid")

    return jax.vmap(filtered, in_axes=2, out_axes=2)(padded)


def _disk(radius: float, rim: float, reach: int) -> np.ndarray:
    line = np.arange(-reach, reach + 1)
    disk = (line**2 + line[:, None] ** 2 <= radius**2).astype(float)
    weights = np.exp(-0.5 * (np.arange(-1, 2) / rim) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        disk = np.apply_along_axis(np.convolve, axis, disk, weights, "same")
    return disk / disk.sum()


def glass_blur(key: Key, x: Array, severity: Array) -> Array:
    """Pixels change places with near ones, between two smoothings."""
    sigmas = (0.05, 0.25, 0.4, 0.25, 0.4)
    times = jnp.array((1, 1, 1, 2, 2))[severity - 1]
    x = smooth(x, sigmas, severity)
    rows, columns = _places(x)
    for turn in range(2):
        draws = jax.random.randint(
            jax.random.fold_in(key, turn), (2, *rows.shape), -1, 1, jnp.int32
        )
        down = jnp.clip(rows + draws[0], 0, x.shape[0] - 1)
        across = jnp.clip(columns + draws[1], 0, x.shape[1] - 1)
        x = jnp.where(turn < times, x[down, across], x)
    return smooth(x, sigmas, severity)


def motion_blur(key: Key, x: Array, severity: Array) -> Array:
    """A movement at an angle of up to 45 degrees."""
    sigma = jnp.asarray((1.0, 1.5, 2.0, 2.0, 2.5), jnp.float32)[severity - 1]
    angle = jax.random.uniform(key, (), jnp.float32, -45.0, 45.0)
    return along(x, angle, sigma)


def along(x: Array, angle: Array, sigma: Array) -> Array:
    """Each pixel becomes a weighted mean of those behind it on a line.

    Args:
        angle: degrees.
        sigma: of the half Gaussian of weights, in pixels of 32.
    """
    rows, columns = _places(x)
    scale = x.shape[0] / _REFERENCE
    down, across = jnp.sin(jnp.deg2rad(angle)), jnp.cos(jnp.deg2rad(angle))
    total, weights = jnp.zeros_like(x), jnp.zeros(())
    for tap in range(_TAPS):
        weight = jnp.exp(-0.5 * (tap / sigma) ** 2)
        y = jnp.clip(rows + scale * tap * down, 0, x.shape[0] - 1)
        z = jnp.clip(columns + scale * tap * across, 0, x.shape[1] - 1)
        total = total + weight * warps.at(x, y, z)
        weights = weights + weight
    return total / weights


def zoom_blur(key: Key, x: Array, severity: Array) -> Array:
    """The mean of the image and of larger and larger ones."""
    count = jnp.asarray((6, 11, 16, 21, 26))[severity - 1]

    def add(k: Array, total: Array) -> Array:
        return total + jnp.where(k < count, zoomed(x, 1 + 0.01 * k), 0)

    total = jax.lax.fori_loop(0, _ZOOMS, add, jnp.zeros_like(x))
    return (x + total) / (count + 1)


def zoomed(x: Array, factor: Array) -> Array:
    """The middle of the image, enlarged to its size."""
    rows, columns = _places(x)
    middle = (x.shape[0] - 1) / 2, (x.shape[1] - 1) / 2
    return warps.at(
        x,
        (rows - middle[0]) / factor + middle[0],
        (columns - middle[1]) / factor + middle[1],
    )


def _places(x: Array) -> tuple[Array, Array]:
    rows, columns = jnp.meshgrid(
        jnp.arange(x.shape[0]), jnp.arange(x.shape[1]), indexing="ij"
    )
    return rows, columns
