"""What the figures share: a page with a title, its palette, its legend, its file.

Matplotlib with the Agg canvas and without pyplot: no display. Axes have the size that
is asked for; all around them is cut to fit. Settings hold while a page is drawn.
"""

import contextlib
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

from robust_jax.core import records
from robust_jax.report import files

# Okabe & Ito, "Color universal design" (2008), without yellow: too pale on white.
BLUE, VERMILION, BLACK = "#0072B2", "#D55E00", "#000000"
GREY, PALE = "#555555", "#BBBBBB"
_PALETTE = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", BLACK)
# Colour and marker differ, so that either one tells.
_LINES = cycler(linestyle=("-", "-.")) * cycler(
    color=_PALETTE, marker=("o", "s", "^", "D", "v", "P", "X")
)
SMALL, _NORMAL, _LARGE = 8.5, 9.5, 12  # points
_LETTERS = 12  # of small text on an inch, about
STYLE = {
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelsize": _NORMAL,
    "axes.prop_cycle": _LINES,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.titlesize": _LARGE,
    "axes.titleweight": "bold",
    "axes.axisbelow": True,
    "figure.dpi": 150,
    "figure.titlesize": _LARGE,
    "figure.titleweight": "bold",
    "font.size": SMALL,
    "grid.color": "#E4E4E4",
    "legend.borderaxespad": 0,
    "legend.fontsize": _NORMAL,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.12,
    "text.parse_math": False,  # A "$" in a name may well begin what is no formula.
    "xtick.color": GREY,
    "xtick.labelcolor": BLACK,
    "ytick.color": GREY,
    "ytick.labelcolor": BLACK,
}
_FULL = {"left": 0, "right": 1, "bottom": 0, "top": 1, "wspace": 0.25}


@contextlib.contextmanager
def page(
    path: records.PathLike, size: tuple[float, float], title: str, across: int = 1
) -> Iterator[Any]:
    """Axes to draw on, or some side by side; then the file is written, whole or not.

    What has a label stands in a legend on the right. Equal pages give equal bytes.

    Args:
        size: width and height of all axes, in inches.
    """
    with _written(path, size) as figure:
        axes = figure.subplots(1, across, gridspec_kw=_FULL)
        figure.axes[0].set_title(title)
        yield axes
        if figure.axes[-1].get_legend_handles_labels()[0]:
            figure.axes[-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1))


@contextlib.contextmanager
def tiled(
    path: records.PathLike,
    size: tuple[float, float],
    title: str,
    shape: tuple[int, int],
) -> Iterator[Any]:
    """Rows and columns of axes for images; then the file is written, whole or not."""
    with _written(path, size, layout="compressed") as figure:
        figure.suptitle(title, x=0, ha="left")
        yield figure.subplots(*shape, squeeze=False)


@contextlib.contextmanager
def _written(
    path: records.PathLike, size: tuple[float, float], **layout: Any
) -> Iterator[Figure]:
    files.ending_of(path)
    with style.context(["default", STYLE]):
        figure = Figure(size, **layout)
        FigureCanvasAgg(figure)
        yield figure
        files.write(figure, path)


def lines(named: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """The style of a line, the name and the value of each."""
    return ((look, *item) for look, item in zip(_LINES(), named.items(), strict=False))


def table(
    axes: Axes, rows: Sequence[str], columns: Sequence[str], pitch: float
) -> None:
    """Names rows on the left and columns, so many inches wide, above."""
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), [wrapped(name, pitch) for name in columns])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)


def wrapped(text: str, inches: float) -> str:
    """Small text in lines of about that length, of ten letters at least."""
    return textwrap.fill(text, max(10, int(_LETTERS * inches)))
