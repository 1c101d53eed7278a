"""What the figures share: a sheet measured in inches, its palette, its file.

Matplotlib through its object interface with the Agg canvas: no global state, no
display.
"""

import itertools
from collections.abc import Iterator
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from robust_jax.core import records

# Okabe & Ito, "Color universal design" (2008), without yellow: too pale on white.
BLUE, VERMILION, BLACK, GREY = "#0072B2", "#D55E00", "#000000", "#555555"
PALETTE = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SMALL, NORMAL, LARGE = 8.5, 9.5, 12  # points

_DPI = 150
_MARGIN = 0.12  # inches
_LETTER = {"normal": 0.61, "bold": 0.68}  # mean width over size, a little generous


class Sheet:
    """A white page of that many inches; places are counted from its top left."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self._width, self._height = width, height
        self._figure = Figure((width, height), dpi=_DPI, facecolor="white")
        room = width - 2 * _MARGIN
        self.write(_MARGIN, 0.28, title, room, size=LARGE, weight="bold")

    def write(
        self,
        x: float,
        y: float,
        text: str,
        room: float,
        size: float,
        weight: str = "normal",
        **style: Any,
    ) -> None:
        """Writes a text, its middle line at y, smaller if it would need more room.

        It starts at x unless `ha` says otherwise; room in inches, size in points.
        """
        longest = max(map(len, text.splitlines()), default=0)
        self._figure.text(
            x / self._width,
            1 - y / self._height,
            text,
            fontsize=min(size, 72 * room / (_LETTER[weight] * max(longest, 1))),
            weight=weight,
            va="center",
            parse_math=False,
            **style,
        )

    def image(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes for an image: a thin frame, no ticks."""
        axes = self._axes(x, y, width, height)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("#BBBBBB")
        return axes

    def plot(
        self, x: float, y: float, width: float, height: float, xlabel: str, ylabel: str
    ) -> Axes:
        """Axes for curves: light grid lines, open to the right and above."""
        axes = self._axes(x, y, width, height)
        axes.set_xlabel(xlabel, fontsize=NORMAL, parse_math=False)
        axes.set_ylabel(ylabel, fontsize=NORMAL, parse_math=False)
        axes.tick_params(labelsize=SMALL, color=GREY)
        axes.grid(color="#E4E4E4", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(GREY)
        return axes

    def legend(self, x: float, y: float, handles: list[Any]) -> None:
        """A legend whose top left corner is there."""
        legend = self._figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(x / self._width, 1 - y / self._height),
            borderaxespad=0,
            fontsize=NORMAL,
            frameon=False,
            handlelength=2.6,
        )
        as_written(legend)

    def save(self, path: records.PathLike) -> None:
        """Writes the PNG, whole or not at all; equal sheets give equal bytes."""
        FigureCanvasAgg(self._figure)
        with records.atomic_path(path) as temporary:
            self._figure.savefig(temporary, format="png", metadata={"Software": None})

    def _axes(self, x: float, y: float, width: float, height: float) -> Axes:
        bottom = self._height - y - height
        return self._figure.add_axes(
            (
                x / self._width,
                bottom / self._height,
                width / self._width,
                height / self._height,
            )
        )


def as_written(legend: Legend) -> None:
    """Takes a "$" in a name as it is: it may well begin what is no formula."""
    for text in legend.get_texts():
        text.set_parse_math(False)


def styles() -> Iterator[dict[str, Any]]:
    """Line styles without end; colour and marker differ, so that either one tells."""
    for line in itertools.cycle(("-", "-.")):
        for colour, marker in zip(PALETTE, MARKERS, strict=True):
            yield {
                "color": colour,
                "marker": marker,
                "markersize": 4,
                "linestyle": line,
                "linewidth": 1.6,
            }
