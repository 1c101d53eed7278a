"""Figures of studies as files: images, heat maps, histograms, curves, points.

Importing this module imports matplotlib; importing `robust_jax.report` does not.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from robust_jax.core import records
from robust_jax.report import canvas

_TILE, _CELL, _CELL_HEIGHT = 0.68, 0.95, 0.34  # inches
_HALF = 0.46  # of an image, of which there is one on a unit of its axes
_SIZE = (6.0, 3.1)  # inches, of curves
_MARKERS = 20  # Of a line, about.
_TINY = 6.4  # points

_BEHIND = {"facecolor": "black", "alpha": 0.6, "pad": 0.8, "linewidth": 0}

Images = np.ndarray  # [N, H, W, C], C 1 or 3, values in [0, 1]


def image_rows(
    path: records.PathLike,
    rows: Sequence[tuple[str, Images]],
    title: str,
    *,
    columns: Sequence[str] = (),
    texts: Sequence[Sequence[str]] | None = None,
) -> None:
    """Writes rows of images, each under a name.

    Args:
        path: the file: .png, .svg, .pdf or .pgf.
        rows: (name, images) each, of any number of images.
        title: one line.
        columns: names above the images of a row.
        texts: for each row a word on each image, written on it in white.
    Raises: ValueError: no row; images of another form than [N, H, W, C]; texts that are
        not as many.
    """
    if not rows:
        raise ValueError("rows=[]; expected at least one row of images")
    for name, images in rows:
        if np.ndim(images) != 4 or np.shape(images)[-1] not in (1, 3):
            raise ValueError(
                f"rows[{name!r}].shape={np.shape(images)}; expected [N, H, W, C] with "
                "C 1 or 3"
            )
    sizes = [len(images) for _, images in rows]
    if texts is not None and [len(row) for row in texts] != sizes:
        raise ValueError(f"texts: {[len(t) for t in texts]} for {sizes} images")
    most = max(sizes)
    with canvas.page(path, (most * _TILE, len(rows) * _TILE), title) as axes:
        for i, (_, images) in enumerate(rows):
            for j, image in enumerate(images):
                _tile(axes, image, i, j, "" if texts is None else texts[i][j])
        axes.set(xlim=(-0.5, most - 0.5), ylim=(len(rows) - 0.5, -0.5))
        canvas.table(axes, [name for name, _ in rows], columns, _TILE)


def _tile(axes: Axes, image: np.ndarray, i: int, j: int, text: str) -> None:
    """An image in its place, with a thin frame and a word."""
    down, right = _HALF * np.array(image.shape[:2]) / max(image.shape[:2])
    left, top = j - right, i - down
    pixels = np.broadcast_to(image, (*image.shape[:2], 3)).clip(0, 1)
    axes.imshow(pixels, extent=(left, j + right, i + down, top))
    frame = Rectangle((left, top), 2 * right, 2 * down, fill=False, color=canvas.PALE)
    axes.add_patch(frame)
    if text:
        word = axes.text(left + 0.04, top + 0.04, text, bbox=_BEHIND)
        word.set(color="white", va="top", fontsize=_TINY)


def heat_map(
    path: records.PathLike,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    *,
    scale: float = 1.0,
    digits: int = 2,
) -> None:
    """Writes a matrix in shades, each number in its cell.

    Args:
        path: the file: .png, .svg, .pdf or .pgf.
        values: shape [R, C]; NaN leaves a cell empty.
        rows: R names.
        columns: C names.
        title: one line.
        scale: the value of the darkest shade, > 0.
        digits: of the numbers, after the point.
    Raises: ValueError: names that do not fit the matrix.
    """
    values = np.asarray(values, float)
    if values.shape != (len(rows), len(columns)):
        raise ValueError(
            f"values.shape={values.shape}; expected {(len(rows), len(columns))}, as "
            "there are names of rows and columns"
        )
    size = (len(columns) * _CELL, len(rows) * _CELL_HEIGHT)
    with canvas.page(path, size, title) as axes:
        axes.imshow(values / scale, aspect="auto", cmap="Blues", vmin=0, vmax=1)
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                ink = "white" if value > 0.6 * scale else "black"
                text = f"{value:.{digits}f}"
                axes.text(j, i, text, color=ink, ha="center", va="center")
        canvas.table(axes, rows, columns, _CELL)


def histograms(
    path: records.PathLike,
    samples: Mapping[str, np.ndarray],
    title: str,
    xlabel: str,
    *,
    bins: int = 30,
    counted: str = "images",
) -> None:
    """Writes the distributions of samples as outlines over common bins.

    Args:
        path: the file: .png, .svg, .pdf or .pgf.
        samples: by name, numbers of shape [N]; those that are not finite are left out.
        title: one line.
        xlabel: what the numbers are, with their unit.
        bins: how many.
        counted: what the numbers are of.
    Raises: ValueError: no sample, or one without a finite number.
    """
    finite = {name: np.asarray(v)[np.isfinite(v)] for name, v in samples.items()}
    if not finite or any(len(v) == 0 for v in finite.values()):
        raise ValueError("samples: expected at least one, each with a finite number")
    edges = np.histogram_bin_edges(np.concatenate(list(finite.values())), bins)
    with canvas.page(path, _SIZE, title) as axes:
        for style, name, sample in canvas.lines(finite):
            del style["marker"]
            shares = np.histogram(sample, edges)[0] / len(sample)
            axes.stairs(shares, edges, label=name, linewidth=1.6, **style)
        axes.set(ylim=(0, None), xlabel=xlabel, ylabel=f"share of the {counted}")


def curves(
    path: records.PathLike,
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    xlabel: str,
    ylabel: str,
    *,
    log_x: bool = False,
) -> None:
    """Writes y against x, a line for each name.

    Args:
        path: the file: .png, .svg, .pdf or .pgf.
        lines: by name, (x, y) of one length.
        title: one line.
        xlabel: with its unit.
        ylabel: with its unit; the axis starts at zero.
        log_x: the x axis is logarithmic.
    Raises: ValueError: no line; x and y of other lengths.
    """
    _check_lengths("lines", lines)
    with canvas.page(path, _SIZE, title) as axes:
        for name, (x, y) in lines.items():
            axes.plot(x, y, label=name, markevery=max(1, len(x) // _MARKERS))
        axes.set(ylim=(0, None), xlabel=xlabel, ylabel=ylabel)
        if log_x:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        elif all(isinstance(n, int) for x, _ in lines.values() for n in x):
            axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))


def points(
    path: records.PathLike,
    clouds: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    xlabel: str,
    ylabel: str,
) -> None:
    """Writes points, a colour and a mark for each name, and the line y = x.

    Args:
        path: the file: .png, .svg, .pdf or .pgf.
        clouds: by name, (x, y) of one length; points that are not finite are left out.
        title: one line.
        xlabel: with its unit.
        ylabel: the same unit, for both axes start at zero and have one scale.
    Raises: ValueError: no name; x and y of other lengths.
    """
    _check_lengths("clouds", clouds)
    most = max(float(np.nanmax(cloud)) for cloud in clouds.values())
    with canvas.page(path, (3.75, 3.75), title) as axes:
        for name, (x, y) in clouds.items():
            axes.plot(x, y, label=name, linestyle="none")
        axes.plot([0, most], [0, most], "-", label="y = x", color=canvas.GREY, lw=1)
        edge = (0, 1.05 * most)
        axes.set(xlim=edge, ylim=edge, aspect="equal", xlabel=xlabel, ylabel=ylabel)


def pairs(
    path: records.PathLike,
    starts: np.ndarray,
    ends: np.ndarray,
    names: Sequence[tuple[str, str]],
    title: str,
) -> None:
    """Writes pairs of named points in a plane, each joined by a line.

    Args:
        path: the file: .png, .svg, .pdf or .pgf.
        starts: shape [N, 2].
        ends: shape [N, 2].
        names: of the start and the end of each pair.
        title: one line.
    Raises: ValueError: shapes or names that do not fit; no pair.
    """
    shape = (len(names), 2)
    if not names or np.shape(starts) != shape or np.shape(ends) != shape:
        raise ValueError(
            f"starts.shape={np.shape(starts)}, ends.shape={np.shape(ends)}, "
            f"{len(names)} names; expected [N, 2] twice, N >= 1"
        )
    colours = (canvas.BLUE, canvas.VERMILION)
    with canvas.page(path, (7.2, 5.0), title) as axes:
        for ends_here, both in zip(zip(starts, ends, strict=True), names, strict=True):
            axes.plot(
                *zip(*ends_here, strict=True), "-", color=canvas.PALE, lw=1, zorder=1
            )
            for place, name, colour in zip(ends_here, both, colours, strict=True):
                axes.plot(*place, "o", color=colour, markersize=3)
                offset = {"xytext": (3, 2), "textcoords": "offset points"}
                axes.annotate(name, place, color=colour, **offset)
        axes.set(xlabel="first component", ylabel="second component")
        axes.margins(0.12)


def _check_lengths(argument: str, named: Mapping[str, tuple[Any, Any]]) -> None:
    if not named:
        raise ValueError(f"{argument}={{}}; expected at least one")
    for name, (x, y) in named.items():
        if len(x) != len(y):
            raise ValueError(f"{argument}[{name!r}]: {len(x)} x for {len(y)} y")


def shaded(values: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1], shape [H, W], as colours [H, W, 3], dark to light.

    >>> rj.report.plots.shaded(np.zeros((2, 2))).shape
    (2, 2, 3)
    """
    return matplotlib.colormaps["viridis"](np.clip(values, 0, 1))[..., :3]


def signed(values: np.ndarray) -> np.ndarray:
    """Numbers of either sign, shape [H, W], as colours [H, W, 3]: blue, white, red.

    The largest magnitude has the fullest colour.
    """
    largest = max(float(np.abs(values).max()), 1e-12)
    return matplotlib.colormaps["RdBu_r"](0.5 + 0.5 * values / largest)[..., :3]
