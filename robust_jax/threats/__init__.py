"""What the adversary may do: balls with a box, patches, geometry and colours."""

from robust_jax.core import checks
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
    "NAMES",
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

_NAMED: dict[str, type[Ball | Patch]] = {
    "linf": Linf,
    "l2": L2,
    "l1": L1,
    "l0": L0,
    "patch": Patch,
}
NAMES = tuple(_NAMED)  # of the threats on pixels, as `by_name` takes them


def by_name(norm: str) -> type[Ball | Patch]:
    """The threat of a name: that of a norm, linf, l2, l1 or l0, or patch.

    Raises: ValueError: for any other name, with the nearest one.
    """
    checks.known_name("norm", norm, _NAMED)
    return _NAMED[norm]
