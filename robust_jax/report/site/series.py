"""The curves that a record's series hold, found by their keys, whatever their names."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from robust_jax.report.site.text import number

_MOST = 100  # Points of a line.
_BINS = 30

Points = list[dict[str, Any]]  # Each a mapping that a chart draws a mark of.

_CURVE = ("eps", "accuracy")
_QUERIES = ("queries", "robust_accuracy")
_HISTORY = ("epoch", "loss")
_ACCURACIES = {
    "train_accuracy": "training",
    "validation_accuracy": "validation",
    "robust_validation_accuracy": "validation, attacked",
}


class Distances(NamedTuple):
    """Histograms of distances, and how many images had none."""

    points: Points
    lost: dict[str, int]  # by name, images for which nothing was found


def curves(series: dict[str, Any]) -> Iterator[tuple[str, Points]]:
    """Robust accuracy against the radius: the key of each group, and its points."""
    yield from _groups(series, _CURVE, ("low", "high"))


def queries(series: dict[str, Any]) -> Iterator[tuple[str, Points]]:
    """Robust accuracy against queries."""
    yield from _groups(series, _QUERIES, ())


def losses(series: dict[str, Any]) -> Iterator[tuple[str, Points]]:
    """Training loss against the epoch."""
    yield from _groups(series, _HISTORY, ())


def accuracies(series: dict[str, Any]) -> Iterator[tuple[str, Points]]:
    """Accuracies against the epoch, each a line of its own."""
    for key, named in _named(series, _HISTORY):
        points = [
            {"name": f"{name}, {said}".lstrip(", "), "epoch": x, "accuracy": y}
            for name, history in named.items()
            for which, said in _ACCURACIES.items()
            if isinstance(history.get(which), list)
            for x, y in _columns(history, ("epoch", which))
        ]
        if points:
            yield key, points


def distances(series: dict[str, Any]) -> Distances | None:
    """Histograms over common bins of the distances that attacks found."""
    given = series.get("distances")
    if not isinstance(given, dict) or not given:
        return None
    found = {str(k): _numbers(v) for k, v in given.items() if isinstance(v, list)}
    finite = [v[np.isfinite(v) & (v > 0)] for v in found.values()]
    if not any(map(len, finite)):
        return None
    edges = np.linspace(0.0, float(max(v.max() for v in finite if len(v))), _BINS + 1)
    points = [
        {"name": name, "low": low, "high": high, "images": int(count)}
        for name, sizes in zip(found, finite, strict=True)
        for low, high, count in zip(
            edges[:-1].tolist(),
            edges[1:].tolist(),
            np.histogram(sizes, edges)[0],
            strict=True,
        )
    ]
    lost = {name: int(np.isinf(sizes).sum()) for name, sizes in found.items()}
    return Distances(points, lost)


def _groups(
    series: dict[str, Any], needed: tuple[str, str], more: tuple[str, ...]
) -> Iterator[tuple[str, Points]]:
    for key, named in _named(series, needed):
        points = []
        for name, lists in named.items():
            extra = tuple(k for k in more if isinstance(lists.get(k), list))
            keys = needed + (extra if extra == more else ())
            for values in _columns(lists, keys):
                points.append({"name": name, **dict(zip(keys, values, strict=True))})
        if points:
            yield key, points


def _named(
    series: dict[str, Any], needed: tuple[str, str]
) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """Series that have these lists, under one name or under several."""
    for key, value in series.items():
        if _has(value, needed):
            yield key, {"": value}
        elif isinstance(value, dict):
            named = {str(k): v for k, v in value.items() if _has(v, needed)}
            if named:
                yield key, named


def _has(value: Any, needed: Sequence[str]) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(k), list) for k in needed
    )


def _columns(lists: dict[str, Any], keys: Sequence[str]) -> Iterator[tuple[float, ...]]:
    """Points whose numbers are all finite, at most _MOST of them, evenly."""
    rows = [
        tuple(number(value) for value in point)
        for point in zip(*(lists[key] for key in keys), strict=False)
    ]
    kept = [row for row in rows if all(map(math.isfinite, row))]
    every = max(1, math.ceil(len(kept) / _MOST))
    last = kept[-1:] if (len(kept) - 1) % every else []
    yield from [*kept[::every], *last]


def _numbers(values: list[Any]) -> np.ndarray:
    return np.array([number(value) for value in values], float)
