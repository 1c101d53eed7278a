"""Small changes of images under which a unit may go on firing."""

from collections.abc import Iterator

import numpy as np

from experiments.studies.properties.setting import Setting
from robust_jax import analysis

_STEPS = 7  # of a kind, the unchanged image among them
_REACH = 5  # frames on either side
LEAST_FRAMES = 100  # As the paper's clips have.


def of(setting: Setting, images: np.ndarray) -> dict[str, list[np.ndarray]]:
    """The images after each change of a kind."""
    pixels = 1 if setting.is_small else 3
    turns = np.linspace(-15, 15, _STEPS)
    bodies = analysis.turning_strokes(images, 2 * turns)
    clip = setting.clip
    own = (
        {} if clip is None else {"frames": [*analysis.frame_moves(clip[None], _REACH)]}
    )
    return own | {
        "shift": [analysis.translate(images, 0, d) for d in _steps(pixels)],
        "rotation": [analysis.rotate(images, d) for d in turns],
        "scale": [analysis.scale(images, 1.2**d) for d in _steps(1)],
        "turn in depth": list(bodies.swapaxes(0, 1)),
    }


def _steps(most: float) -> Iterator[float]:
    return iter(np.linspace(-most, most, _STEPS))
