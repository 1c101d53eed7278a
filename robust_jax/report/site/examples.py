"""The examples of an evaluation on disk: what is told of all, the images of a few."""

import concurrent.futures
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robust_jax.report.site import rows

FILE = "adversarial.npz"
HOLDS, WRONG = -1, -2  # `winner` of an example that no stage broke.
_IMAGES = ("x", "x_adv")


class Facts(NamedTuple):
    """What is told of each of the N examples of a run, arrays [N]."""

    winner: NDArray[Any]
    labels: NDArray[Any]
    predicted: NDArray[Any]
    predicted_adv: NDArray[Any]
    confidence: NDArray[Any]
    confidence_adv: NDArray[Any]
    margin: NDArray[Any]
    margin_adv: NDArray[Any]


def lacking(path: pathlib.Path) -> list[str]:
    """The arrays that are not in a file, such as one of an older version."""
    # NumPy leaves a damaged file open that it has opened itself.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        names = (*_IMAGES, *Facts._fields)
        return [name for name in names if name not in arrays.files]


def facts(path: pathlib.Path) -> tuple[Facts, tuple[int, ...]]:
    """What is told of the examples of a file, and the shape of one.

    Raises: ValueError: arrays that do not fit each other.
    """
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        found = Facts(*(arrays[name] for name in Facts._fields))
    n = found.winner.size
    wrong = [k for k, each in found._asdict().items() if each.shape != (n,)]
    heads = {name: rows.header(path, name) for name in _IMAGES}
    shape = heads[_IMAGES[0]].shape
    wrong += [
        name
        for name, head in heads.items()
        if head.shape != shape or shape[0] != n or head.dtype.kind not in "fiu"
    ]
    if wrong or n == 0:
        raise ValueError(f"odd arrays: {', '.join(wrong) or 'no examples'}")
    return found, shape[1:]


def chosen(winner: NDArray[Any], labels: NDArray[Any], limit: int) -> NDArray[Any]:
    """Positions of examples, ascending: of outcomes in turn, of each classes in turn.

    Outcomes are the stages that broke examples, holding, and being wrong without an
    attack; of each outcome and class the first examples are taken.

    Args:
        winner: shape [N] int.
        labels: shape [N] int, at least 0.
        limit: how many.
    """
    of_class = _turns(winner.astype(np.int64) * (int(labels.max()) + 1) + labels)
    by_class = np.argsort(of_class, kind="stable")
    turns = _turns(winner[by_class])
    return np.sort(by_class[np.argsort(turns, kind="stable")][:limit])


def _turns(group: NDArray[Any]) -> NDArray[Any]:
    """How many of the same group come before each."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    turns = np.empty(len(group), np.int64)
    turns[order] = np.arange(len(group)) - np.searchsorted(ordered, ordered)
    return turns


def pairs(
    path: pathlib.Path, at: Sequence[int]
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """The clean and the adversarial image at each position, one pair in memory.

    Their two streams are unpacked side by side.
    """
    streams = [rows.rows(path, name, at) for name in _IMAGES]
    with concurrent.futures.ThreadPoolExecutor(len(streams)) as threads:
        for _ in at:
            clean, adversarial = threads.map(next, streams)
            yield clean, adversarial
