"""What the Square Attack changes where: image layout, windows, pyramids, draws.

Whatever depends on shapes alone is NumPy, made while tracing: it becomes constants of
the compiled program. What is drawn, or depends on the query, is traced.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from robust_jax.core.narrow import counted
from robust_jax.core.types import Array, Key, Threat

# Andriushchenko et al. (2020), Sec. 4.1: the queries after which the share is halved,
# of a search that has 10,000.
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_HORIZON = 10_000


class Tiles(NamedTuple):
    """The random part of a start: signs of a grid of tiles, and which are turned."""

    signs: Array  # [rows, columns, C] +1 or -1
    turned: Array  # [rows, columns] bool


class Windows(NamedTuple):
    """The random part of a proposal."""

    offsets: Array  # [2, 2] int32: row and column of the window; of the one to clear
    signs: Array  # [C] +1 or -1
    turned: Array  # [] bool: the pyramids stand side by side


class Draw(NamedTuple):
    """What decides a proposal, before it is painted."""

    number: Array  # [] int32, of the query
    stage: Array  # [] int32
    sides: Array  # [2] int32, height and width of the windows
    windows: Windows


class Moves(NamedTuple):
    """The part of the search that the norm decides, for images of one shape."""

    start: Callable[[Key, Threat, Array], Array]  # (key, threat, x) -> [*S]
    sides: np.ndarray  # [stages, 2] int32, height and width of the windows
    paint: Callable[
        [Threat, Array, Array, Draw], Array
    ]  # (.., x, accepted, ..) -> [*S]
    spare: Callable[[int], int]  # draws beside those evaluated, as some are idle
    code: Callable[[Draw], Array]  # [] int32: equal for equal changes; -1: never equal


def never_equal(draw: Draw) -> Array:
    """The code of proposals that no two of are taken to be equal."""
    return jnp.full((), -1, jnp.int32)


def shares(initial_share: float) -> list[float]:
    """The share of the pixels that a window covers, in each stage of a search."""
    return [initial_share / 2**k for k in range(len(_HALVINGS) + 1)]


def halvings(horizon: int) -> tuple[int, ...]:
    """The last query of each stage but the last one, which has no end."""
    return tuple(math.ceil((at + 1) * horizon / _HORIZON) - 1 for at in _HALVINGS)


def stage(halvings: tuple[ArrayLike, ...], i: Array) -> Array:
    """The stage of proposal i, counted from 0; shape []."""
    return counted(i > jnp.stack([jnp.asarray(at, jnp.int32) for at in halvings]))


def square_side(side: float) -> int:
    """The side of a window of one colour: a whole number of pixels, at least one."""
    return max(round(side), 1)


def pyramid_side(side: float) -> int:
    """The side of a window of two pyramids: odd, at least three."""
    return max(round(side), 3) | 1


def window_sides(
    share: float, height: int, width: int, rounded: Callable[[float], int]
) -> tuple[int, int]:
    """Height and width of a window that covers a share of the pixels.

    A square; where it does not fit, it fills the image's shorter side and keeps its
    area.

    Args:
        share: of the image's pixels, in (0, 1].
        height: of the image.
        width: of the image.
        rounded: the wanted side to the side taken.
    """
    area = share * height * width
    short, long = sorted((height, width))
    side = rounded(math.sqrt(area))
    if side <= short:
        return side, side
    other = min(rounded(area / short), long)
    return (short, other) if height <= width else (other, short)


def stage_sides(
    shares: list[float], shape: tuple[int, int, int], rounded: Callable[[float], int]
) -> np.ndarray:
    """`window_sides` of each stage, int32, shape [stages, 2]."""
    sides = [window_sides(share, *shape[:2], rounded) for share in shares]
    return np.array(sides, np.int32)


def pyramids(height: int, width: int, *, power: int, order: int) -> np.ndarray:
    """Two opposite pyramids in a window, one above the other; then side by side.

    A pixel at Chebyshev distance m from its pyramid's middle has height
    sum_j 1 / j^power over j from m + 1 to half the longer side.

    Args:
        height: of the window.
        width: of the window.
        power: how fast the terms fall: 2 for L2, 4 for L1.
        order: of the norm in which the pattern has size 1.
    Returns: float32, shape [2, height, width].
    """
    beside = _stacked(width, height, power, order).T
    stacked = _stacked(height, width, power, order)
    return np.stack([stacked, beside]).astype(np.float32)


def _stacked(height: int, width: int, power: int, order: int) -> np.ndarray:
    above = _pyramid(height // 2, width, power, order)
    below = _pyramid(height - height // 2, width, power, order)
    pattern = np.concatenate([above, -below])
    return pattern / np.linalg.norm(pattern.ravel(), order)


def _pyramid(height: int, width: int, power: int, order: int) -> np.ndarray:
    terms = np.arange(1.0, max(height, width) // 2 + 2) ** -power
    from_the_foot = np.cumsum(terms[::-1])[::-1]
    rows = np.abs(np.arange(height) - height // 2)
    columns = np.abs(np.arange(width) - width // 2)
    pyramid = from_the_foot[np.maximum(rows[:, None], columns)]
    return pyramid / np.linalg.norm(pyramid.ravel(), order)


def draw_tiles(key: Key, rows: int, columns: int, channels: int) -> Tiles:
    """Independent signs and turns of a grid of tiles."""
    uniform = jax.random.uniform(key, (rows, columns, channels + 1), jnp.float32)
    return Tiles(_signs(uniform[..., 1:]), uniform[..., 0] < 0.5)


def draw_windows(key: Key, sides: Array, shape: tuple[int, int, int]) -> Windows:
    """Two windows, each anywhere in the image with equal chances; signs; the turn.

    Args:
        key: of this query alone.
        sides: height and width of both windows, shape [2], integer.
        shape: (H, W, C) of the image.
    """
    # One call of the generator: splitting the key and `randint` would double the time
    # of a step on 28 x 28 pixels. A float32 below 1 times n < 2^23 rounds to below n.
    uniform = jax.random.uniform(key, (5 + shape[2],), jnp.float32)
    positions = np.array(shape[:2], np.int32) - sides + 1
    offsets = (uniform[:4].reshape(2, 2) * positions[None]).astype(jnp.int32)
    return Windows(offsets, _signs(uniform[5:]), uniform[4] < 0.5)


def _signs(uniform: Array) -> Array:
    return jnp.where(uniform < 0.5, -1.0, 1.0).astype(uniform.dtype)


def window_mask(offset: Array, sides: Array, height: int, width: int) -> Array:
    """Marks the pixels of a window, bool, shape [H, W, 1].

    Args:
        offset: row and column of its first pixel, shape [2].
        sides: its height and width, shape [2].
        height: of the image.
        width: of the image.
    """
    row, column = jnp.arange(height) - offset[0], jnp.arange(width) - offset[1]
    in_rows = (row >= 0) & (row < sides[0])
    in_columns = (column >= 0) & (column < sides[1])
    return (in_rows[:, None] & in_columns[None])[..., None]
