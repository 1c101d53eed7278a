"""The Square Attack in Linf: starts from stripes, paints windows of one colour."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from robust_jax.attacks.queries import _square_patterns as patterns
from robust_jax.core import images
from robust_jax.core.types import Array, Key, Threat


def moves(shares: list[float], shape: tuple[int, int, int]) -> patterns.Moves:
    """What `square` changes in Linf.

    Args:
        shares: see `square_patterns.shares`.
        shape: (H, W, C) of the image.
    """
    sides = patterns.stage_sides(shares, shape, patterns.square_side)
    return patterns.Moves(start, sides, paint, _spare, _coder(len(shares), shape))


def _spare(proposals: int) -> int:
    # A sixth of the proposals for MNIST, and 2 % for CIFAR-10, change nothing.
    return 3 + proposals // 4


def _coder(
    stages: int, shape: tuple[int, int, int]
) -> Callable[[patterns.Draw], Array]:
    """A number for each change: the stage, the window's place, and its colour."""
    height, width, channels = shape
    if stages * height * width * 2**channels >= 2**31:  # Hardly ever drawn twice.
        return patterns.never_equal
    bits = 2 ** np.arange(channels, dtype=np.int32)

    def code(draw: patterns.Draw) -> Array:
        row, column = draw.windows.offsets[0]
        place = (draw.stage * height + row) * width + column
        colour = jnp.sum((draw.windows.signs > 0) * bits)
        return (place * 2**channels + colour).astype(jnp.int32)

    return code


def start(key: Key, threat: Threat, x: Array) -> Array:
    """Vertical stripes of x +- eps, one sign per column and channel, shape [*S]."""
    height, width, channels = shape = images.image_shape(x.shape)
    rows = 1 if width > 1 else height  # One stripe alone would be no pattern.
    signs = patterns.draw_tiles(key, rows, width, channels).signs
    stripes = images.from_image(jnp.broadcast_to(signs, shape), x.shape)
    return threat.project(x + threat.eps * stripes, x)


def paint(threat: Threat, x: Array, accepted: Array, draw: patterns.Draw) -> Array:
    """The accepted point with x +- eps in a window, one sign per channel.

    Args:
        threat: of norm Linf.
        x: clean input, shape [*S], float32 at least.
        accepted: the point to change, shape [*S], float32 at least.
        draw: where, how large and in which colour.
    Returns: feasible, shape [*S].
    """
    height, width, _ = images.image_shape(x.shape)
    window = patterns.window_mask(draw.windows.offsets[0], draw.sides, height, width)
    # The paper's step of 2 eps always ends at x +- eps; said so, a window that has its
    # colour already changes no bit, and rounding cannot pass for a rise.
    signs = images.from_image(jnp.where(window, draw.windows.signs, 0), x.shape)
    painted = jnp.where(signs == 0, accepted, x + threat.eps * signs)
    return threat.project(painted, x)
