"""A proportion and how sure one can be of it."""

import dataclasses
import math
import statistics
from typing import Any


@dataclasses.dataclass(frozen=True)
class Proportion:
    """How many of n examples: the form in which every accuracy is reported.

    `str` gives per cent with the 95 % interval, `91.4 % [88.6, 93.6]`; `to_json` the
    counts, the value and the interval, so that a reader of a record need not compute.
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
    """
    _check_counts(successes, n)
    if not 0 < confidence < 1:
        raise ValueError(
            f"confidence={confidence}; expected a number in (0, 1), such as 0.95"
        )
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
