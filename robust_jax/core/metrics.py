"""A proportion and how sure one can be of it."""

import dataclasses
import math
import statistics
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Proportion:
    """How many of n examples: the form in which every accuracy is reported.

    `str` gives per cent with the 95 % interval, `91.4 % [88.6, 93.6]`; `to_json` the
    counts, the value and the interval, so that a reader of a record need not compute.

    >>> print(rj.core.metrics.Proportion(457, 500))
    91.4 % [88.6, 93.6]
    """

    successes: int
    n: int

    def __post_init__(self) -> None:
        _check_counts(self.successes, self.n)

    @property
    def value(self) -> float:
        """The share of successes, in [0, 1]."""
        return self.successes / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval, within [0, 1]."""
        return wilson(self.successes, self.n)

    def to_json(self) -> dict[str, Any]:
        """The mapping that stands for this proportion in a record."""
        return {
            "successes": self.successes,
            "n": self.n,
            "value": self.value,
            "interval": list(self.interval),
        }

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


@dataclasses.dataclass(frozen=True)
class Median:
    """A median with its 95 % interval, between two of the values."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """The mapping that stands for this median in a record."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def median(values: np.ndarray) -> Median:
    """The median of a sample and a 95 % interval of the population's.

    The interval's ends are the order statistics that a binomial of n draws with 1/2
    names; it assumes nothing of the distribution and covers at least 95 %.
    Edge cases: infinite values count as largest; fewer than 6 give the whole range.

    Args:
        values: shape [N], N >= 1, no NaN.
    Raises: ValueError: no values.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    n = len(ordered)
    if n == 0:
        raise ValueError("values is empty; expected at least one for a median")
    from scipy import special  # 0.1 s; `scipy.stats` takes another 0.4 s.

    fewer = special.bdtr(np.arange(n), n, 0.5)  # P(at most so many)
    below = int(np.searchsorted(fewer, 0.025))  # P(fewer than `below`) <= 0.025
    first = max(below - 1, 0)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return Median(float(middle), float(ordered[first]), float(ordered[n - 1 - first]))


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a binomial proportion.

    The values p with `|successes / n - p| <= z sqrt(p (1 - p) / n)`, z the two-sided
    normal quantile of `confidence`; no continuity correction.
    Guarantees: 0 <= low <= successes / n <= high <= 1.
    Edge cases: no successes give low = 0 exactly, no failures high = 1 exactly.

    Args:
        successes: in [0, n].
        n: number of examples, >= 1.
        confidence: in (0, 1).
    Returns: (low, high).
    Raises: ValueError: an argument out of its range.
    References: Wilson, "Probable inference, the law of succession, and statistical
        inference", JASA 22 (1927). Differs from the paper in: nothing.

    >>> low, high = rj.core.metrics.wilson(0, 100)
    >>> print(f"{low:.3f} {high:.3f}")
    0.000 0.037
    """
    _check_counts(successes, n)
    if not 0 < confidence < 1:
        raise ValueError(
            f"confidence={confidence}; expected a number in (0, 1), such as 0.95"
        )
    # SciPy has it in `stats.binomtest`, whose import would take 0.5 s of every report.
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    centre = successes + z * z / 2
    half = z * math.sqrt(successes * (n - successes) / n + z * z / 4)
    # Exact ends: rounding would leave 1e-17 where the interval touches 0 or 1.
    low = 0.0 if successes == 0 else (centre - half) / (n + z * z)
    high = 1.0 if successes == n else (centre + half) / (n + z * z)
    return low, high


def _check_counts(successes: int, n: int) -> None:
    if n < 1:
        raise ValueError(f"n={n}; expected at least one example; give a larger set")
    if not 0 <= successes <= n:
        raise ValueError(f"successes={successes}; expected a count in [0, n={n}]")
