"""Figures as files (see `report.files`): examples, curves of robustness, of training.

Importing this module imports matplotlib; importing `robust_jax.report` does not.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from robust_jax.core import checks, records
from robust_jax.report import canvas
from robust_jax.report.magnify import magnification

_CELL, _LINE, _HEADS = 1.2, 0.25, 0.9  # inches: an image, a line of text, the names
_PER_BLOCK = 10  # examples side by side
_PLAIN = {"fontsize": canvas.SMALL, "weight": "normal"}

ACCURACIES = {  # of a training history: name and line
    "train_accuracy": ("training", ":"),
    "validation_accuracy": ("validation", "--"),
    "robust_validation_accuracy": ("validation, attacked", "-"),
}

Names = Sequence[Any] | np.ndarray
Series = Mapping[str, Mapping[str, Any]]


def adversarial_grid(
    path: records.PathLike,
    clean: np.ndarray,
    adversarial: np.ndarray,
    labels: Names,
    clean_predictions: Names,
    adversarial_predictions: Names,
    title: str,
    magnify: float | None = None,
    confidences: tuple[Sequence[float], Sequence[float]] | None = None,
) -> None:
    """Writes a picture of examples: clean, adversarial, and their difference.

    One example per column. The difference is drawn as `0.5 + magnify * difference`, so
    that grey means unchanged, and the factor is stated. Predictions stand under the
    images; a wrong one has a cross, a frame and another colour.

    Args:
        path: the file: .png, .svg, .pdf or .pgf.
        clean: shape [N, H, W, C], C 1 or 3, values in [0, 1].
        adversarial: the same shape and range.
        labels: the true classes, N numbers or names.
        clean_predictions: N, of the same kind.
        adversarial_predictions: N, of the same kind.
        title: one line.
        magnify: the factor, > 0; `magnification` chooses it by default.
        confidences: of the clean and of the adversarial predictions, N shares each, to
            be written beside them.
    Raises: ValueError: shapes that do not fit, values outside [0, 1].
    """
    clean, adversarial = _images("clean", clean), _images("adversarial", adversarial)
    if adversarial.shape != clean.shape:
        raise ValueError(
            f"adversarial.shape={adversarial.shape}; expected {clean.shape} as clean "
            "has; give pairs of images"
        )
    difference = adversarial - clean
    if magnify is not None:
        checks.positive_number("magnify", magnify)
    factor = magnification(difference) if magnify is None else float(magnify)
    n = len(clean)
    before = _classes("clean_predictions", clean_predictions, n)
    after = _classes("adversarial_predictions", adversarial_predictions, n)
    sure = confidences or (None, None)
    if confidences and any(len(each) != n for each in confidences):
        raise ValueError(
            f"confidences of {[len(each) for each in confidences]} images; expected "
            f"{n} of each kind, one per image"
        )
    rows = (
        _GridRow("clean", clean, before, sure[0]),
        _GridRow("adversarial", adversarial, after, sure[1]),
        _GridRow(f"difference\n× {factor:g}", np.clip(0.5 + factor * difference, 0, 1)),
    )
    _grid(path, _classes("labels", labels, n), rows, title)


def robustness_curves(
    path: records.PathLike, curves: Series, title: str, xlabel: str
) -> None:
    """Writes accuracy against radius, one line with its interval band per curve.

    Args:
        path: the file: .png, .svg, .pdf or .pgf.
        curves: by name, mappings of `eps` and `accuracy` and, for the band, `low` and
            `high`: lists of one length, shares in [0, 1]; None where not measured.
        title: one line.
        xlabel: the radius, with its norm and unit.
    Raises: ValueError: no curve; a list that is missing or of another length.
    """
    _check_series("curves", curves, ("eps", "accuracy"))
    with canvas.page(path, (6.0, 3.1), title) as axes:
        for style, name, curve in canvas.lines(curves):
            x, y = _measured(curve, "eps", "accuracy")
            axes.plot(x, y, label=name, **style, markevery=_every(x, 20))
            if "low" in curve and "high" in curve:
                x, low, high = _measured(curve, "eps", "low", "high")
                axes.fill_between(x, low, high, color=style["color"], alpha=0.18, lw=0)
        axes.set(xlim=(0, None), xlabel=xlabel)
        _set_accuracy(axes)


def training_curves(path: records.PathLike, histories: Series, title: str) -> None:
    """Writes loss and accuracies against epoch: a colour per net, a line per quantity.

    Args:
        path: the file: .png, .svg, .pdf or .pgf.
        histories: by name, mappings of `epoch` and any of `loss`, `train_accuracy`,
            `validation_accuracy`, `robust_validation_accuracy`: lists of one length.
            None (not measured) is bridged; NaN (diverged) breaks the line.
        title: one line.
    Raises: ValueError: no history; a list that is missing or of another length.
    """
    _check_series("histories", histories, ("epoch",))
    shown = [key for key in ACCURACIES if any(key in h for h in histories.values())]
    with canvas.page(path, (7.6, 3.1), title, across=2) as (loss, accuracy):
        for style, name, history in canvas.lines(histories):
            accuracy.plot([], [], label=name, **style)
            for key in (key for key in ("loss", *shown) if key in history):
                axes = accuracy if key in ACCURACIES else loss
                line = ACCURACIES.get(key, (key, style["linestyle"]))[1]
                x, y = _measured(history, "epoch", key)
                every = _every(x, 8)
                axes.plot(x, y, **style | {"linestyle": line}, markevery=every)
        for name, line in (ACCURACIES[key] for key in shown):
            accuracy.plot([], [], line, label=name, color=canvas.GREY, marker="")
        loss.set(ylim=(0, None), ylabel="training loss")
        _set_accuracy(accuracy)
        last = max(max(history["epoch"], default=1) for history in histories.values())
        for axes in (loss, accuracy):
            axes.set(xlim=(0, 1.03 * last), xlabel="epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


class _GridRow(NamedTuple):
    head: str
    images: np.ndarray  # [N, H, W, C]
    predictions: list[str] | None = None
    confidences: Sequence[float] | None = None


def _grid(
    path: records.PathLike, truth: list[str], rows: Sequence[_GridRow], title: str
) -> None:
    """The examples in columns, in blocks of _PER_BLOCK columns, each with its rows."""
    n, height, width = rows[0].images.shape[:3]
    across, blocks = min(n, _PER_BLOCK), math.ceil(n / _PER_BLOCK)
    names = {name for row in rows for name in (*truth, *(row.predictions or ()))}
    captions = (canvas.wrapped(f"true: {name} ✗", _CELL) for name in names)
    caption = _LINE * max(len(text.splitlines()) for text in captions)
    down = blocks * (len(rows) * (_CELL * height / width + caption) + caption)
    size, shape = (across * _CELL + _HEADS, down), (blocks * len(rows), across)
    with canvas.tiled(path, size, title, shape) as grid:
        for axes in grid.flat:
            axes.set(visible=False, xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color=canvas.PALE)
        for i in range(n):
            block, column = divmod(i, _PER_BLOCK)
            cells = grid[block * len(rows) : (block + 1) * len(rows), column]
            above = "\n" * (block > 0) + canvas.wrapped(f"true: {truth[i]}", _CELL)
            cells[0].set_title(above, loc="center", pad=4, **_PLAIN)
            for axes, row in zip(cells, rows, strict=True):
                axes.set_visible(True)
                axes.imshow(np.broadcast_to(row.images[i], (height, width, 3)))
                if column == 0:
                    side = {"rotation": 0, "ha": "right", "va": "center"}
                    axes.set_ylabel(row.head, color=canvas.GREY, **side)
                if row.predictions is not None:
                    sure = row.confidences
                    said = "" if sure is None else f" {sure[i]:.0%}"
                    _answer(axes, row.predictions[i], truth[i], said)


def _answer(axes: Axes, answer: str, truth: str, sure: str) -> None:
    """Writes a prediction under an image, and frames it if it is wrong."""
    mark, colour, weight = "✓", canvas.BLUE, "normal"
    if answer != truth:
        mark, colour, weight = "✗", canvas.VERMILION, "bold"
        axes.spines[:].set(color=colour, linewidth=2)
    text = canvas.wrapped(f"{answer} {mark}{sure}", _CELL)
    axes.set_xlabel(text, color=colour, weight=weight, fontsize=canvas.SMALL)


def _images(name: str, images: Any) -> np.ndarray:
    images = np.asarray(images, float)
    if images.ndim != 4 or 0 in images.shape or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"{name}.shape={images.shape}; expected [N, H, W, C], at least one image, "
            "C 1 or 3; reshape it"
        )
    if not (np.min(images) >= -1e-6 and np.max(images) <= 1 + 1e-6):  # NaN fails too.
        raise ValueError(
            f"{name} holds values from {np.min(images):g} to {np.max(images):g}; "
            "expected [0, 1]; divide images of 0-255 units by 255"
        )
    return images.clip(0, 1)


def _classes(name: str, classes: Names, n: int) -> list[str]:
    if len(classes) != n:
        raise ValueError(
            f"len({name})={len(classes)}; expected {n}, one per image; "
            "give arrays of the same examples"
        )
    return [str(item) for item in np.asarray(classes).tolist()]


def _check_series(argument: str, series: Series, needed: Sequence[str]) -> None:
    if not series:
        raise ValueError(f"{argument}={{}}; expected at least one; give a name to each")
    for name, values in series.items():
        for key in needed:
            if key not in values:
                raise ValueError(
                    f"{argument}[{name!r}] has no {key!r}; expected lists of one "
                    f"length under {', '.join(needed)}; add it"
                )
        n = len(values[needed[0]])
        for key, column in values.items():
            if len(column) != n:
                raise ValueError(
                    f"len({argument}[{name!r}][{key!r}])={len(column)}; expected {n} "
                    f"as {needed[0]!r} has; write None where nothing was measured"
                )


def _measured(values: Mapping[str, Any], *keys: str) -> list[np.ndarray]:
    """These lists where none of them has None; infinities as NaN, which leave a gap."""
    points = zip(*(values[key] for key in keys), strict=True)
    kept = [point for point in points if None not in point]
    array = np.array(kept, float).reshape(-1, len(keys))  # Reads "NaN" of a record too.
    return list(np.where(np.isfinite(array), array, np.nan).T)


def _every(points: np.ndarray, most: int) -> int:
    """The step between markers that draws that many at most."""
    return max(1, math.ceil(len(points) / most))


def _set_accuracy(axes: Axes) -> None:
    axes.set(ylim=(-0.01, 1.01), ylabel="accuracy")  # Lines at 0 and 100 % stay whole.
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
