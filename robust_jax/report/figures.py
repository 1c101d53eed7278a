"""Figures as PNG files: examples, robustness curves, training curves.

Importing this module imports matplotlib; importing `robust_jax.report` does not.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from robust_jax.core import checks, records
from robust_jax.report import canvas

# The grid of examples, in inches.
_CELL, _GAP, _LEFT, _TOP, _EDGE = 1.1, 0.14, 1.15, 0.55, 0.12
_LINE = 0.25  # of text above or below an image
_PER_BLOCK = 10  # examples side by side

_ACCURACIES = {  # of a training history: name and line
    "train_accuracy": ("training", ":"),
    "validation_accuracy": ("validation", "--"),
    "robust_validation_accuracy": ("validation, attacked", "-"),
}

Names = Sequence[Any] | np.ndarray
Series = Mapping[str, Mapping[str, Any]]


def magnification(difference: np.ndarray) -> float:
    """The largest round factor (1, 1.5, 2, 3, 5 times a power of ten) that keeps
    `factor * difference` within [-0.5, 0.5]; at least 0.5; 1 if nothing differs."""
    largest = float(np.max(np.abs(difference), initial=0.0))
    if largest == 0:
        return 1.0
    room = 0.5 / largest * (1 + 1e-3)  # 0.1 in float32 is a little more than 0.1.
    if room < 1:
        return 0.5
    power = 10.0 ** math.floor(math.log10(room))
    return max(digit * power for digit in (1, 1.5, 2, 3, 5) if digit * power <= room)


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
        path: the PNG file.
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
    _grid(_classes("labels", labels, n), rows, title).save(path)


def robustness_curves(
    path: records.PathLike, curves: Series, title: str, xlabel: str
) -> None:
    """Writes accuracy against radius, one line with its interval band per curve.

    Args:
        path: the PNG file.
        curves: by name, mappings of `eps` and `accuracy` and, for the band, `low` and
            `high`: lists of one length, shares in [0, 1]; None where not measured.
        title: one line.
        xlabel: the radius, with its norm and unit.
    Raises: ValueError: no curve; a list that is missing or of another length.
    """
    _check_series("curves", curves, ("eps", "accuracy"))
    sheet = canvas.Sheet(7.0, 4.25, title)
    axes = sheet.plot(0.75, 0.6, 6.05, 3.1, xlabel, "accuracy")
    for style, (name, curve) in zip(canvas.styles(), curves.items(), strict=False):
        x, y = _measured(curve, "eps", "accuracy")
        axes.plot(x, y, label=name, **style, markevery=_every(x, 20))
        if "low" in curve and "high" in curve:
            x, low, high = _measured(curve, "eps", "low", "high")
            axes.fill_between(x, low, high, color=style["color"], alpha=0.18, lw=0)
    axes.set_xlim(left=0)
    _set_percent(axes)
    canvas.as_written(axes.legend(fontsize=canvas.NORMAL, frameon=False))
    sheet.save(path)


def training_curves(path: records.PathLike, histories: Series, title: str) -> None:
    """Writes loss and accuracies against epoch: a colour per net, a line per quantity.

    Args:
        path: the PNG file.
        histories: by name, mappings of `epoch` and any of `loss`, `train_accuracy`,
            `validation_accuracy`, `robust_validation_accuracy`: lists of one length.
            None (not measured) is bridged; NaN (diverged) breaks the line.
        title: one line.
    Raises: ValueError: no history; a list that is missing or of another length.
    """
    _check_series("histories", histories, ("epoch",))
    shown = [key for key in _ACCURACIES if any(key in h for h in histories.values())]
    sheet = canvas.Sheet(10.4, 4.25, title)
    loss = sheet.plot(0.65, 0.6, 3.4, 3.1, "epoch", "training loss")
    accuracy = sheet.plot(4.85, 0.6, 3.4, 3.1, "epoch", "accuracy")
    nets = []
    for style, (name, history) in zip(canvas.styles(), histories.items(), strict=False):
        nets.append(Line2D([], [], label=name, **style))
        for key in ("loss", *shown):
            if key not in history:
                continue
            x, y = _measured(history, "epoch", key)
            if key in _ACCURACIES:
                line = {**style, "linestyle": _ACCURACIES[key][1]}
                accuracy.plot(x, y, **line, markevery=_every(x, 8))
            else:
                loss.plot(x, y, **style, markevery=_every(x, 8))
    loss.set_ylim(bottom=0)
    _set_percent(accuracy)
    last = max(max(history["epoch"], default=1) for history in histories.values())
    for axes in (loss, accuracy):
        axes.set_xlim(0, 1.03 * last)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    sheet.legend(8.4, 0.6, nets + [_line_key(*_ACCURACIES[key]) for key in shown])
    sheet.save(path)


class _GridRow(NamedTuple):
    head: str
    images: np.ndarray  # [N, H, W, C]
    predictions: list[str] | None = None
    confidences: Sequence[float] | None = None


def _grid(truth: list[str], rows: Sequence[_GridRow], title: str) -> canvas.Sheet:
    """The examples in columns, in blocks of _PER_BLOCK columns, each with its rows."""
    n, pixel_rows, pixel_columns = rows[0].images.shape[:3]
    height = _CELL * pixel_rows / pixel_columns
    pitch = height + _LINE + _GAP
    block_height = _LINE + len(rows) * pitch
    sheet = canvas.Sheet(
        max(_LEFT + min(n, _PER_BLOCK) * (_CELL + _GAP), 5.0),
        _TOP + math.ceil(n / _PER_BLOCK) * block_height - _LINE,
        title,
    )
    for i in range(n):
        block, column = divmod(i, _PER_BLOCK)
        x, top = _LEFT + column * (_CELL + _GAP), _TOP + block * block_height
        _caption(sheet, x, top, f"true: {truth[i]}")
        for j, row in enumerate(rows):
            y = top + _LINE + j * pitch
            if column == 0:
                place = (_EDGE, y + height / 2, row.head, _LEFT - _EDGE - _GAP)
                sheet.write(*place, size=canvas.NORMAL, color=canvas.GREY)
            axes = sheet.image(x, y, _CELL, height)
            pixels = np.broadcast_to(row.images[i], (pixel_rows, pixel_columns, 3))
            axes.imshow(pixels, interpolation="nearest")
            if row.predictions is None:
                continue
            sure = "" if row.confidences is None else f" {row.confidences[i]:.0%}"
            if row.predictions[i] == truth[i]:
                text, style = f"{row.predictions[i]} ✓{sure}", {"color": canvas.BLUE}
            else:
                text = f"{row.predictions[i]} ✗{sure}"
                style = {"color": canvas.VERMILION}
                style["weight"] = "bold"
                axes.spines[:].set(color=canvas.VERMILION, linewidth=2)
            _caption(sheet, x, y + height, text, **style)
    return sheet


def _caption(sheet: canvas.Sheet, x: float, y: float, text: str, **style: Any) -> None:
    """A centred line of text whose top is at y, as wide as the image at x."""
    place = (x + _CELL / 2, y + _LINE / 2, text, _CELL + _GAP)
    sheet.write(*place, size=canvas.SMALL, ha="center", **style)


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


def _line_key(name: str, line: Any) -> Line2D:
    return Line2D([], [], label=name, color=canvas.GREY, linestyle=line)


def _set_percent(axes: Axes) -> None:
    axes.set_ylim(-0.01, 1.01)  # Lines at 0 and 100 % stay whole.
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
