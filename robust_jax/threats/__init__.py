"""What the adversary may do: balls with a box, patches, geometry and colours."""

import difflib

from robust_jax.threats import corruptions
from robust_jax.threats.balls import L0, L1, L2, Ball, Linf, ball_then_clip
from robust_jax.threats.parametric import (
    ColourShift,
    Flow,
    Parametric,
    RotationTranslation,
)
from robust_jax.threats.patch import Patch

__all__ = [
    "L0",
    "L1",
    "L2",
    "Ball",
    "ColourShift",
    "Flow",
    "Linf",
    "Parametric",
    "Patch",
    "RotationTranslation",
    "ball_then_clip",
    "by_name",
    "corruptions",
]

_BALLS: dict[str, type[Ball]] = {"linf": Linf, "l2": L2, "l1": L1, "l0": L0}


def by_name(norm: str) -> type[Ball]:
    """The threat of a norm's name: linf, l2, l1 or l0.

    Raises: ValueError: for any other name, with the nearest of the four.
    """
    if norm not in _BALLS:
        nearest = difflib.get_close_matches(norm.lower(), _BALLS, n=1, cutoff=0.0)[0]
        known = ", ".join(_BALLS)
        raise ValueError(
            f"norm={norm!r}; expected one of {known}; did you mean {nearest!r}?"
        )
    return _BALLS[norm]
