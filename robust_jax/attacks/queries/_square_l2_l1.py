"""The Square Attack's start and proposals in L2 and L1: pyramids that share eps.

A displacement uses all of eps, so that a window can grow only by what another one
gives up: a proposal clears a second window and puts its share, with whatever the box
had left unused, under a new pair of pyramids in the first.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from robust_jax.attacks.queries import _square_patterns as patterns
from robust_jax.core import images
from robust_jax.core.types import Array, Key, Threat

_TILES = 5  # Andriushchenko et al. (2020), Sec. 3.4: along a side of the start.


class Geometry(NamedTuple):
    """What differs between the two norms."""

    power: int  # of the pyramids, see `square_patterns.pyramids`
    order: int  # of the norm
    size: Callable[[Array], Array]  # [H, W, C] -> [1, 1, C]: of each channel
    budget: Callable[[Array, Array, Array], Array]  # see `_l2_budget`
    feasible: Callable[[Threat, Array, Array], Array]  # (threat, x, delta) -> x_adv


def start(geometry: Geometry, key: Key, threat: Threat, x: Array) -> Array:
    """A grid of pyramid pairs with random signs, sized to the threat.

    The grid has five tiles along the image's shorter side, or one per pixel if that
    side is shorter than ten.
    """
    height, width, channels = images.image_shape(x.shape)
    side = max(min(height, width) // _TILES, 1)
    rows, columns = height // side, width // side
    tiles = patterns.draw_tiles(key, rows, columns, channels)
    stacked, beside = patterns.pyramids(
        side, side, power=geometry.power, order=geometry.order
    )
    turned = tiles.turned[:, :, None, None]
    grid = jnp.where(turned, beside, stacked)[..., None]  # [rows, columns, s, s, 1]
    grid = grid * tiles.signs[:, :, None, None]
    grid = jnp.swapaxes(grid, 1, 2).reshape(rows * side, columns * side, channels)
    top, left = (height - rows * side) // 2, (width - columns * side) // 2
    delta = jnp.zeros((height, width, channels), grid.dtype)
    delta = delta.at[top : top + rows * side, left : left + columns * side].set(grid)
    return geometry.feasible(threat, x, images.from_image(delta, x.shape))


def paint(
    geometry: Geometry,
    table: np.ndarray,
    threat: Threat,
    x: Array,
    accepted: Array,
    draw: patterns.Draw,
) -> Array:
    """The next point: pyramids grow in one window at the cost of another one.

    Args:
        geometry: `l2` or `l1`.
        table: see `_pyramids_at_origin`.
        threat: its norm is the geometry's.
        x: clean input, shape [*S], float32 at least.
        accepted: the point to change, shape [*S], float32 at least.
        draw: where, how large and with which signs.
    Returns: feasible, shape [*S].
    """
    height, width, _ = images.image_shape(x.shape)
    windows = draw.windows
    at_origin = jnp.asarray(table)[draw.stage, windows.turned.astype(jnp.int32)]
    pattern = jnp.roll(at_origin, windows.offsets[0], axis=(0, 1))[..., None]
    grown, cleared = (
        patterns.window_mask(offset, draw.sides, height, width)
        for offset in windows.offsets
    )

    delta = images.as_image(accepted - x)
    old = jnp.where(grown, delta, 0)
    shape_wanted = pattern * windows.signs[None, None] + _unit(geometry.size, old)
    freed = geometry.size(jnp.where(grown | cleared, delta, 0))
    budget = geometry.budget(jnp.asarray(threat.eps), geometry.size(delta), freed)
    new = _unit(geometry.size, shape_wanted) * budget
    delta = jnp.where(grown, new, jnp.where(cleared, 0, delta))
    return geometry.feasible(threat, x, images.from_image(delta, x.shape))


def _moves(
    geometry: Geometry, shares: list[float], shape: tuple[int, int, int]
) -> patterns.Moves:
    sides = patterns.stage_sides(shares, shape, patterns.pyramid_side)
    table = _pyramids_at_origin(geometry, sides, *shape[:2])
    return patterns.Moves(
        functools.partial(start, geometry),
        sides,
        functools.partial(paint, geometry, table),
        lambda _: 0,  # Pyramids change whatever they cover.
        patterns.never_equal,
    )


def _pyramids_at_origin(
    geometry: Geometry, sides: np.ndarray, height: int, width: int
) -> np.ndarray:
    """Each stage's patterns in the image's corner, float32 [stages, 2, H, W]."""
    table = np.zeros((len(sides), 2, height, width), np.float32)
    for row, (tall, wide) in zip(table, sides, strict=True):
        row[:, :tall, :wide] = patterns.pyramids(
            tall, wide, power=geometry.power, order=geometry.order
        )
    return table


def _unit(size: Callable[[Array], Array], delta: Array) -> Array:
    """delta scaled to size 1; zero stays zero."""
    length = size(delta)
    return delta / jnp.where(length > 0, length, 1)


def _l2_size(delta: Array) -> Array:
    return jnp.sqrt(jnp.sum(delta**2, axis=(0, 1), keepdims=True))


def _l1_size(delta: Array) -> Array:
    return jnp.sum(jnp.abs(delta), axis=(0, 1), keepdims=True)


def _l2_budget(eps: Array, sizes: Array, freed: Array) -> Array:
    """The size of each channel's new window, [1, 1, C]; sizes add up as squares.

    Args:
        eps: the radius, shape [].
        sizes: of the present displacement, per channel, shape [1, 1, C].
        freed: what both windows hold of them, shape [1, 1, C].
    """
    unused = jnp.maximum(eps**2 - jnp.sum(sizes**2), 0)
    return jnp.sqrt(unused / sizes.size + freed**2)


def _l1_budget(eps: Array, sizes: Array, freed: Array) -> Array:
    """As `_l2_budget`; every channel asks for all, and the projection shares it out."""
    unused = jnp.maximum(eps - jnp.sum(sizes), 0)
    return unused + sizes.size * freed


def _stretched_to_eps(threat: Threat, x: Array, delta: Array) -> Array:
    """x + delta at the length eps, then clipped to the box."""
    length = jnp.sqrt(jnp.sum(delta**2))
    unit = delta / jnp.where(length > 0, length, 1)
    return jnp.clip(x + threat.eps * unit, threat.lower, threat.upper)


def _projected(threat: Threat, x: Array, delta: Array) -> Array:
    return threat.project(x + delta, x)


l2 = Geometry(2, 2, _l2_size, _l2_budget, _stretched_to_eps)
l1 = Geometry(4, 1, _l1_size, _l1_budget, _projected)
l2_moves, l1_moves = functools.partial(_moves, l2), functools.partial(_moves, l1)
