"""Figures of studies as PNG files: images, heat maps, histograms, curves, points.

Importing this module imports matplotlib; importing `robust_jax.report` does not.
"""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib import ticker

from robust_jax.core import records
from robust_jax.report import canvas

_TILE, _GAP, _TOP, _LEFT = 0.62, 0.06, 0.55, 1.9  # inches
_CELL, _CELL_HEIGHT = 0.95, 0.34
_MARKERS = 20  # Of a line, about.

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
        path: the PNG file.
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
    pitch = _TILE + _GAP
    top, width = _TOP + (0.2 if columns else 0), _LEFT + max(sizes) * pitch + 0.1
    sheet = canvas.Sheet(max(width, 4.5), top + len(rows) * pitch + 0.1, title)
    for j, name in enumerate(columns):
        x = _LEFT + j * pitch + _TILE / 2
        sheet.write(x, top - 0.1, name, _TILE, size=canvas.SMALL, ha="center")
    for i, (name, images) in enumerate(rows):
        y = top + i * pitch
        sheet.write(0.12, y + _TILE / 2, name, _LEFT - 0.24, size=canvas.NORMAL)
        for j, image in enumerate(images):
            axes = sheet.image(_LEFT + j * pitch, y, _TILE, _TILE)
            pixels = np.broadcast_to(image, (*image.shape[:2], 3))
            axes.imshow(np.clip(pixels, 0, 1), interpolation="nearest")
            if texts is not None:
                place = (0.04, 0.82)
                axes.annotate(
                    texts[i][j], place, xycoords="axes fraction", color="white",
                    fontsize=0.75 * canvas.SMALL, parse_math=False, bbox=_BEHIND,
                )  # fmt: skip
    sheet.save(path)


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
        path: the PNG file.
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
    across, down = len(columns) * _CELL, len(rows) * _CELL_HEIGHT
    sheet = canvas.Sheet(max(_LEFT + across + 0.2, 5.0), down + 1.1, title)
    axes = sheet.image(_LEFT, 0.95, across, down)
    axes.imshow(values / scale, aspect="auto", cmap="Blues", vmin=0, vmax=1)
    for j, name in enumerate(columns):
        x = _LEFT + (j + 0.5) * _CELL
        sheet.write(x, 0.78, name, _CELL, size=canvas.SMALL, ha="center")
    for i, name in enumerate(rows):
        y = 0.95 + (i + 0.5) * _CELL_HEIGHT
        sheet.write(0.12, y, name, _LEFT - 0.2, size=canvas.SMALL)
        for j, value in enumerate(values[i]):
            if np.isfinite(value):
                ink = "white" if value > 0.6 * scale else "black"
                x = _LEFT + (j + 0.5) * _CELL
                text = f"{value:.{digits}f}"
                sheet.write(
                    x, y, text, _CELL, size=canvas.SMALL, ha="center", color=ink
                )
    sheet.save(path)


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
        path: the PNG file.
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
    sheet = canvas.Sheet(7.0, 4.25, title)
    axes = sheet.plot(0.75, 0.6, 6.05, 3.1, xlabel, f"share of the {counted}")
    for style, (name, sample) in zip(canvas.styles(), finite.items(), strict=False):
        shares = np.histogram(sample, edges)[0] / len(sample)
        line, colour = style["linestyle"], style["color"]
        axes.stairs(
            shares, edges, label=name, color=colour, linestyle=line, linewidth=1.6
        )
    axes.set_ylim(bottom=0)
    canvas.as_written(axes.legend(fontsize=canvas.NORMAL, frameon=False))
    sheet.save(path)


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
        path: the PNG file.
        lines: by name, (x, y) of one length.
        title: one line.
        xlabel: with its unit.
        ylabel: with its unit; the axis starts at zero.
        log_x: the x axis is logarithmic.
    Raises: ValueError: no line; x and y of other lengths.
    """
    if not lines:
        raise ValueError("lines={}; expected at least one")
    sheet = canvas.Sheet(9.8, 4.25, title)
    axes = sheet.plot(0.75, 0.6, 6.05, 3.1, xlabel, ylabel)
    for style, (name, (x, y)) in zip(canvas.styles(), lines.items(), strict=False):
        if len(x) != len(y):
            raise ValueError(f"lines[{name!r}]: {len(x)} x for {len(y)} y")
        sparse = max(1, len(x) // _MARKERS)
        axes.plot(x, y, label=name, **style, markevery=sparse)
    axes.set_ylim(bottom=0)
    if log_x:
        axes.set_xscale("log")
    elif all(isinstance(n, int) for x, _ in lines.values() for n in x):
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    sheet.legend(7.0, 0.6, list(axes.lines))
    sheet.save(path)


def points(
    path: records.PathLike,
    clouds: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    xlabel: str,
    ylabel: str,
) -> None:
    """Writes points, a colour and a mark for each name, and the line y = x.

    Args:
        path: the PNG file.
        clouds: by name, (x, y) of one length; points that are not finite are left out.
        title: one line.
        xlabel: with its unit.
        ylabel: the same unit, for both axes start at zero and have one scale.
    Raises: ValueError: no name; x and y of other lengths.
    """
    if not clouds:
        raise ValueError("clouds={}; expected at least one")
    sheet = canvas.Sheet(7.6, 4.9, title)
    axes = sheet.plot(0.75, 0.6, 3.75, 3.75, xlabel, ylabel)
    most = 0.0
    for style, (name, (x, y)) in zip(canvas.styles(), clouds.items(), strict=False):
        if len(x) != len(y):
            raise ValueError(f"clouds[{name!r}]: {len(x)} x for {len(y)} y")
        axes.plot(x, y, label=name, **style | {"linestyle": "none"})
        most = max(most, np.nanmax([x, y]))
    axes.plot([0, most], [0, most], label="y = x", color=canvas.GREY, linewidth=1)
    axes.set(xlim=(0, 1.05 * most), ylim=(0, 1.05 * most))
    sheet.legend(4.75, 0.6, list(axes.lines))
    sheet.save(path)


def pairs(
    path: records.PathLike,
    starts: np.ndarray,
    ends: np.ndarray,
    names: Sequence[tuple[str, str]],
    title: str,
) -> None:
    """Writes pairs of named points in a plane, each joined by a line.

    Args:
        path: the PNG file.
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
    sheet = canvas.Sheet(8.2, 6.2, title)
    axes = sheet.plot(0.75, 0.6, 7.2, 4.95, "first component", "second component")
    for start, end, both in zip(starts, ends, names, strict=True):
        axes.plot(*zip(start, end, strict=True), color="#BBBBBB", linewidth=1, zorder=1)
        for place, name, colour in zip(
            (start, end), both, (canvas.BLUE, canvas.VERMILION), strict=True
        ):
            axes.plot(*place, "o", color=colour, markersize=3)
            axes.annotate(
                name, place, (3, 2), textcoords="offset points",
                fontsize=canvas.SMALL, color=colour, parse_math=False,
            )  # fmt: skip
    axes.margins(0.12)
    sheet.save(path)


def shaded(values: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1], shape [H, W], as colours [H, W, 3], dark to light."""
    return matplotlib.colormaps["viridis"](np.clip(values, 0, 1))[..., :3]


def signed(values: np.ndarray) -> np.ndarray:
    """Numbers of either sign, shape [H, W], as colours [H, W, 3]: blue, white, red.

    The largest magnitude has the fullest colour.
    """
    largest = max(float(np.abs(values).max()), 1e-12)
    return matplotlib.colormaps["RdBu_r"](0.5 + 0.5 * values / largest)[..., :3]
