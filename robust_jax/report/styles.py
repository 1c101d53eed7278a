"""How figures of a paper look: the widths and letters of a venue, without LaTeX."""

from typing import Any, NamedTuple

from robust_jax.core import checks

_TIMES = "STIXGeneral"  # Matplotlib brings it; its letters are those of Times.
_SANS = "DejaVu Sans"


class Style(NamedTuple):
    """The size of a figure in inches, and of its letters in points."""

    width: float  # of a column
    letters: float
    family: str


STYLES = {
    "default": Style(6.0, 9.0, _SANS),
    "neurips": Style(5.5, 9.0, _TIMES),  # Its style file: text of 33 picas, 10 points.
    "icml": Style(3.25, 8.0, _TIMES),  # Two columns of 3.25 inches, 10 points.
    "iclr": Style(5.5, 9.0, _TIMES),  # Text of 33 picas, 10 points.
}


def named(name: str) -> Style:
    """A style by its name.

    Raises: ValueError: an unknown one.
    """
    checks.known_name("style", name, STYLES)
    return STYLES[name]


def settings(style: Style) -> dict[str, Any]:
    """What Matplotlib is told, beside the settings that all figures share."""
    small = style.letters - 1
    return {
        "axes.labelsize": style.letters,
        "axes.linewidth": 0.6,
        "axes.titlesize": style.letters,
        "axes.titleweight": "normal",
        "figure.titlesize": style.letters,
        "figure.titleweight": "normal",
        "font.family": style.family,
        "font.size": small,
        "grid.linewidth": 0.5,
        "legend.fontsize": small,
        "lines.linewidth": 1.2,
        "lines.markersize": 3,
        "mathtext.fontset": "stix",
        "savefig.bbox": None,  # The very width of the column.
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
    }
