"""What the adversary may do: balls with a box, patches, geometry and colours.

To add one: a file with a class that has what `core.types.Threat` says, its test, and
its place in `_ALL` below; names, boxes and claims then know it.
"""

from robust_jax.core import checks
from robust_jax.threats import corruptions
from robust_jax.threats.ball import Ball, ball_then_clip
from robust_jax.threats.l0 import L0
from robust_jax.threats.l1 import L1
from robust_jax.threats.l2 import L2
from robust_jax.threats.linf import Linf
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

_ALL: tuple[type[Ball | Patch], ...] = (Linf, L2, L1, L0, Patch)
_NAMED = {kind.name: kind for kind in _ALL}
NAMES = tuple(_NAMED)  # of the threats on pixels, as `by_name` takes them


def by_name(norm: str) -> type[Ball | Patch]:
    """The threat of a name: that of a norm, linf, l2, l1 or l0, or patch.

    Raises: ValueError: for any other name, with the nearest one.

    >>> rj.threats.by_name("l2")(0.5)
    L2(eps=0.5, lower=0.0, upper=1.0)
    """
    checks.known_name("norm", norm, _NAMED)
    return _NAMED[norm]
