"""Gratings: waves of light whose phase and angle a unit may not mind (host)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robust_jax.analysis.directions import FeaturesFn, features
from robust_jax.analysis.invariance import Invariance, invariance

FREQUENCIES = (2, 4, 6, 8)  # As the paper's; here waves across the image.
_ANGLES = 20  # In half a turn.
_PHASES = 20  # In a whole wave.


class Gratings(NamedTuple):
    """How invariant units are to a wave's place and to its angle."""

    phase: Invariance
    angle: Invariance


def grating(
    height: int, width: int, waves: float, angle: float, phase: float
) -> NDArray[np.float32]:
    """A wave in [0, 1], shape [height, width, 1].

    Args:
        height: pixels.
        width: pixels.
        waves: across the image's longer side.
        angle: of its direction, radians.
        phase: radians.
    """
    down, across = np.mgrid[:height, :width] / max(height, width)
    along = across * np.cos(angle) + down * np.sin(angle)
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * waves * along - phase)
    return wave[..., None].astype(np.float32)


def grating_test(
    features_fn: FeaturesFn,
    height: int,
    width: int,
    rate: float = 0.01,
    *,
    frequencies: Sequence[float] = FREQUENCIES,
) -> Gratings:
    """Do units that fire on a grating still fire when it moves, or when it turns?

    All gratings of these frequencies, 20 angles and 20 phases are the inputs; a wave
    moves through all its phases, and turns by at most a quarter.

    Args:
        features_fn: images [B, height, width, 1] -> features [B, *F], flattened.
        height: pixels.
        width: pixels.
        rate: the global firing rate.
        frequencies: waves across the image's longer side.
    References: Goodfellow et al., "Measuring invariances in deep networks", NeurIPS
        2009, Sec. 4.1. Differs from the paper in: the trajectories are on the grid of
        the inputs; frequencies are waves across the image.
    """
    images = np.stack(
        [
            grating(height, width, waves, np.pi * a / _ANGLES, 2 * np.pi * p / _PHASES)
            for waves in frequencies
            for a in range(_ANGLES)
            for p in range(_PHASES)
        ]
    )
    found = features(features_fn, images)
    grid = found.reshape(len(frequencies), _ANGLES, _PHASES, -1)
    moves = [np.roll(grid, step, axis=2) for step in range(_PHASES)]
    quarter = _ANGLES // 2
    turns = [_turned(grid, step) for step in range(-quarter // 2, quarter // 2 + 1)]
    shape = found.shape
    return Gratings(
        invariance(found, (m.reshape(shape) for m in moves), rate),
        invariance(found, (t.reshape(shape) for t in turns), rate),
    )


def _turned(grid, step):
    """Each grating's neighbour `step` angles on; half a turn on, the wave runs back."""
    places = np.arange(_ANGLES) + step
    over = places // _ANGLES % 2 == 1
    turned = grid[:, places % _ANGLES]
    back = -np.arange(_PHASES) + _PHASES // 2  # sin(-t - p) = sin(t + p + pi).
    turned[:, over] = turned[:, over][:, :, back % _PHASES]
    return turned
