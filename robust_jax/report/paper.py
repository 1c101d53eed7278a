"""A figure for a paper in one call, out of records, their paths, or results.

Importing this module imports matplotlib; importing `robust_jax.report` does not.
"""

import io
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib import style as styles_of_matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from robust_jax.core import checks, records
from robust_jax.report import canvas, files, series, styles
from robust_jax.report.examples import Pairs, pairs_of
from robust_jax.report.figures import ACCURACIES
from robust_jax.report.gathering import Run, gathered
from robust_jax.report.magnify import magnification

_GOLDEN = (1 + math.sqrt(5)) / 2
_FLAT = 2.6  # Width over height where a legend stands beside.
_NARROW = 4.5  # Inches; below it a legend stands above.
_BESIDE = 0.35  # Of the width, at most for a legend beside.
_HANDLE = 0.5  # Inches of a legend beside its letters.
_LETTERS = 150  # Of one point, on an inch.
_LEADING = 1.4 / 72  # Inches of a line for a letter of one point.
_CELL = 0.72  # Inches of an image, about.
_MARKERS = 12  # Of a line, about.


class PaperFigure(Figure):
    """A Matplotlib figure that a notebook shows without pyplot."""

    may_grow = True  # for a legend of many lines

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=150)
        return file.getvalue()


def figure(
    kind: str,
    runs: Any,
    *,
    style: str = "default",
    path: records.PathLike | None = None,
    names: Sequence[str] | None = None,
    width: float | None = None,
    height: float | None = None,
    title: str | None = None,
) -> Figure:
    """A figure in the size and letters of a paper's column.

    Kinds: "curve", robust accuracy against the radius with 95 % bands; "stages",
    accuracy without an attack, after each stage, and in the worst case; "distances",
    the share of examples that are broken within a distance; "training", loss and
    accuracies by epoch; "examples", images that broke, before and after.
    Runs that differ in their seed alone are one line, the mean; its band reaches from
    the lowest to the highest end of their intervals. Vector formats hold TrueType
    letters; text is set as it stands.

    Args:
        kind: see above.
        runs: a record, its path or folder, or a result with `to_record`, such as a
            report, a curve or distances; or several in a list. For examples a folder
            or a report, whose images are read.
        style: "default", "neurips", "icml" or "iclr".
        path: a file to write: .png, .svg, .pdf or .pgf.
        names: one for each run, for the legend; equal ones are seeds of one line.
        width: inches; by default the style's column.
        height: inches.
        title: above it; papers have a caption.
    Returns: the figure, to change or to save again.
    Raises: ValueError: an unknown kind, style or ending; runs that cannot be read or
        do not have what the kind draws. TypeError: what is no run.

    >>> rj.report.figure("stages", report, style="icml").get_size_inches()
    array([3.25, 2.01])
    """
    checks.known_name("kind", kind, _KINDS)
    look = styles.named(style)
    if path is not None:
        files.ending_of(path)
    for name, value in (("width", width), ("height", height)):
        if value is not None:
            checks.positive_number(name, value)
    gather, draw, shape = _KINDS[kind]
    content = gather(gathered(runs), names)
    look = look._replace(width=width or look.width)
    size = look.width, height or shape(content, look.width)
    sheets: Any = ["default", canvas.STYLE, styles.settings(look)]
    with styles_of_matplotlib.context(sheets):
        made = PaperFigure(size, layout="constrained")
        FigureCanvasAgg(made)
        made.may_grow = height is None
        draw(made, content, look)
        if title is not None:
            made.suptitle(title)
        made.draw_without_rendering()  # Letters of the style, whoever saves it later.
        if path is not None:
            files.write(made, path)
    return made


def _curve(made: PaperFigure, lines: tuple[list[series.Line], str], look: Any) -> None:
    axes = made.subplots()
    _draw_lines(axes, lines[0])
    axes.set(xlabel=f"{lines[1]}radius", xlim=(0, None))
    _accuracy(axes, "robust accuracy")
    _legend(made, axes, look)


def _distances(
    made: PaperFigure, lines: tuple[list[series.Line], str], look: Any
) -> None:
    axes = made.subplots()
    for (line, shown), _ in zip(_styled(lines[0]), lines[0], strict=True):
        axes.plot(line.x, line.y, label=line.name, **shown, markevery=_every(line.x))
    axes.set(xlabel=f"{lines[1]}distance", xlim=(0, None))
    _accuracy(axes, "share broken")
    _legend(made, axes, look)


def _stages(made: PaperFigure, lines: list[series.Line], look: Any) -> None:
    axes, attacks = (
        made.subplots(),
        list(dict.fromkeys(a for li in lines for a in li.x)),
    )
    for k, (line, shown) in enumerate(_styled(lines)):
        shift = 0.12 * (k - (len(lines) - 1) / 2)
        at = [attacks.index(attack) + shift for attack in line.x]
        ends = np.abs(np.stack([line.low, line.high]) - line.y)  # type: ignore[list-item]
        shown = {**shown, "linestyle": "none", "markersize": 4}
        axes.errorbar(at, line.y, ends, label=line.name, capsize=2, **shown)
    texts = ["clean" if attack == "none" else attack for attack in attacks]
    pitch = look.width * 0.8 / len(attacks)
    turned: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    is_tight = max(map(len, texts)) * look.letters / 140 > pitch
    axes.set_xticks(range(len(attacks)), texts, **(turned if is_tight else {}))
    axes.set_xlim(-0.5, len(attacks) - 0.5)
    axes.grid(visible=False, axis="x")
    _accuracy(axes, "accuracy")
    _legend(made, axes, look)


def _training(
    made: PaperFigure, histories: dict[str, dict[str, Any]], look: Any
) -> None:
    loss, accuracy = made.subplots(1, 2)
    shown = [k for k in ACCURACIES if any(k in h for h in histories.values())]
    for line, name, history in canvas.lines(histories):
        accuracy.plot([], [], label=name, **line)
        for key in (key for key in ("loss", *shown) if key in history):
            axes = accuracy if key in ACCURACIES else loss
            dashes = ACCURACIES.get(key, (key, "-"))[1]
            x, y = np.array(history["epoch"], float), np.array(history[key], float)
            there = ~np.isnan(y) if key in ACCURACIES else np.ones(len(x), bool)
            how = {**line, "linestyle": dashes, "markevery": _every(x)}
            axes.plot(x[there], y[there], **how)
    for name, dashes in (ACCURACIES[key] for key in shown):
        accuracy.plot([], [], dashes, label=name, color=canvas.GREY, marker="")
    loss.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
    accuracy.set(xlabel="epoch")
    _accuracy(accuracy, "accuracy")
    for axes in (loss, accuracy):
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    _legend(made, accuracy, look)


def _examples(made: PaperFigure, pairs: Pairs, look: styles.Style) -> None:
    across = min(len(pairs.clean), _across(look.width))
    difference = pairs.adversarial - pairs.clean
    factor = magnification(difference[:across])
    third = np.clip(0.5 + factor * difference, 0, 1)
    rows = (pairs.clean, pairs.adversarial, third)
    heads = ("clean", "adversarial", f"difference\n× {factor:g}")
    grid = made.subplots(3, across, squeeze=False)
    for i, (head, images) in enumerate(zip(heads, rows, strict=True)):
        for j in range(across):
            axes = grid[i, j]
            axes.imshow(np.broadcast_to(images[j], (*images[j].shape[:2], 3)))
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color=canvas.PALE)
            if i < 2:
                answers = (pairs.before, pairs.after)[i]
                axes.set_xlabel(str(answers[j]), labelpad=1)
        side = {"rotation": 0, "ha": "right", "va": "center"}
        grid[i, 0].set_ylabel(head, **side)


def _across(width: float) -> int:
    return max(1, int((width - 0.8) / _CELL))


def _examples_height(pairs: Pairs, width: float) -> float:
    across = min(len(pairs.clean), _across(width))
    height, wide = pairs.clean.shape[1:3]
    return 3 * min((width - 0.9) / across, 1.3 * _CELL) * height / wide + 0.45


def _line_height(content: Any, width: float) -> float:
    return width / (_GOLDEN if width < _NARROW else _FLAT)


def _draw_lines(axes: Axes, lines: Sequence[series.Line]) -> None:
    for line, shown in _styled(lines):
        x = np.array(line.x, float)
        axes.plot(x, line.y, label=line.name, **shown, markevery=_every(line.x))
        if line.low is not None and line.high is not None:
            band = {"color": shown["color"], "alpha": 0.18, "lw": 0}
            axes.fill_between(x, line.low, line.high, **band)


def _styled(
    lines: Sequence[series.Line],
) -> Iterator[tuple[series.Line, dict[str, Any]]]:
    named = {str(k): line for k, line in enumerate(lines)}
    return ((line, shown) for shown, _, line in canvas.lines(named))


def _every(x: Sequence[Any] | np.ndarray) -> int:
    return max(1, math.ceil(len(x) / _MARKERS))


def _accuracy(axes: Axes, name: str) -> None:
    axes.set(ylim=(-0.01, 1.01), ylabel=name)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _legend(made: PaperFigure, axes: Axes, look: styles.Style) -> None:
    """Beside the lines if that leaves them most of the width, else above them."""
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) < 2:
        return
    per_inch = _LETTERS / look.letters
    longest = max(map(len, labels)) / per_inch + _HANDLE
    if longest < _BESIDE * look.width and look.width >= _NARROW:
        made.legend(handles, labels, loc="outside right upper")
        return
    most = int((look.width - _HANDLE) * per_inch)
    labels = [textwrap.fill(label, most) for label in labels]
    columns = max(1, min(3, int(look.width / longest)))
    made.legend(handles, labels, loc="outside upper left", ncols=columns)
    lines = sum(len(label.splitlines()) for label in labels) / columns
    if made.may_grow and lines > 2:
        more = (lines - 2) * look.letters * _LEADING
        made.set_figheight(made.get_figheight() + more)


def _with_norm(gather: Callable[..., Any]) -> Callable[..., Any]:
    return lambda runs, names: (gather(runs, names), series.norm_of(runs))


def _pairs(runs: Sequence[Run], names: Any) -> Pairs:
    return pairs_of(runs)


_KINDS: dict[
    str, tuple[Callable[..., Any], Callable[..., None], Callable[..., float]]
] = {
    "curve": (_with_norm(series.curves), _curve, _line_height),
    "stages": (series.stages, _stages, _line_height),
    "distances": (_with_norm(series.distances), _distances, _line_height),
    "training": (series.histories, _training, _line_height),
    "examples": (_pairs, _examples, _examples_height),
}
