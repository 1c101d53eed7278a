"""The difference of two accuracies with its 95 % interval, paired where it can be."""

import math
import pathlib
import zipfile
import zlib
from typing import NamedTuple

import numpy as np

from robust_jax.core.metrics import Proportion

_HOLDS = -1  # `winner` of an image that no stage broke.


class Difference(NamedTuple):
    """First minus second, in [-1, 1], and how it was found."""

    value: float
    low: float
    high: float
    how: str

    def __str__(self) -> str:
        low, high = 100 * self.low, 100 * self.high
        return f"{100 * self.value:+.1f} [{low:+.1f}, {high:+.1f}]"


def unpaired(first: Proportion, second: Proportion) -> Difference:
    """The difference of proportions of two independent samples.

    References: Newcombe, "Interval estimation for the difference between independent
        proportions", Statistics in Medicine 17 (1998), method 10.
    """
    how = "unpaired"
    return _around(first, second, 0.0, how)


def paired(first: np.ndarray, second: np.ndarray) -> Difference:
    """The difference of two verdicts on the same images.

    Args:
        first: shape [N] bool, N >= 1.
        second: the same images in the same order.
    References: Newcombe, "Improved confidence intervals for the difference between
        binomial proportions based on paired data", Statistics in Medicine 17 (1998),
        method 10; McNemar's test in its exact form.
    """
    n, only_first = len(first), int((first & ~second).sum())
    both, only_second = int((first & second).sum()), int((second & ~first).sum())
    neither = n - both - only_first - only_second
    of_first = Proportion(both + only_first, n)
    of_second = Proportion(both + only_second, n)
    sides = [of_first.successes, n - of_first.successes]
    spread = math.prod([*sides, of_second.successes, n - of_second.successes])
    cross = both * neither - only_first * only_second
    corrected = max(cross - n / 2, 0.0) if cross > 0 else float(cross)
    phi = corrected / math.sqrt(spread) if spread else 0.0
    p = mcnemar(only_first, only_second)
    how = f"paired, n = {n:,}, p = {p:.2g}"
    return _around(of_first, of_second, phi, how)


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p of as uneven a split of the images that only one gets right."""
    n, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2**n)


def verdicts(path: pathlib.Path) -> dict[int, bool] | None:
    """Whether each image holds, by its id; None without such a file."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            ids, winner = arrays["ids"], arrays["winner"]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
    if ids.shape != winner.shape or ids.ndim != 1 or len(np.unique(ids)) < len(ids):
        return None
    return dict(zip(ids.tolist(), (winner == _HOLDS).tolist(), strict=True))


def of_runs(
    first: Proportion,
    second: Proportion,
    holds: tuple[dict[int, bool] | None, dict[int, bool] | None],
) -> Difference:
    """Paired on the images that both runs saw, if there are any; else unpaired."""
    mine, other = holds
    shared = sorted(mine.keys() & other.keys()) if mine and other else []
    if not mine or not other or not shared:
        return unpaired(first, second)
    pick = [np.array([each[i] for i in shared], bool) for each in (mine, other)]
    return paired(*pick)


def _around(first: Proportion, second: Proportion, phi: float, how: str) -> Difference:
    (low_1, high_1), (low_2, high_2) = first.interval, second.interval
    value = first.value - second.value

    def half(a: float, b: float) -> float:
        return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))

    below = half(first.value - low_1, high_2 - second.value)
    above = half(high_1 - first.value, second.value - low_2)
    return Difference(value, value - below, value + above, how)
