"""What chance alone may do to counts of points, so that a check flags no more often."""

from typing import Any

import numpy as np

from robust_jax.evaluate.audit.finding import Measured

# Of flagging an evaluation that is right at the limit: 1 in 1,000, and rounding.
_RISK = 1e-3 * (1 + 1e-12)


def tolerated(points: int, share: float) -> int:
    """The largest count of points that passes where at most `share` of all is allowed.

    The points are a sample: a model that is right at the limit in truth shows more
    than this many in one of 1,000 samples.
    Edge cases: no points give 0; a share of 0 tolerates none.

    Args:
        points: in the sample, >= 0.
        share: allowed in truth, in [0, 1).
    Returns: the least c with P(Binomial(points, share) > c) <= 0.001.
    """
    return int(np.argmax(_beyond(np.arange(points + 1), points, share) <= _RISK))


def at_most(
    share: float, count: int, points: int, says: str, *, digits: int = 3
) -> Measured:
    """A count of points, which passes up to what is `tolerated`.

    Args:
        digits: of the limit.
    """
    allowed = tolerated(points, share)
    limit = f"<= {allowed / points:.{digits}f}"
    return Measured(count <= allowed, count / points, limit, says)


def outweighs(one: int, other: int) -> bool:
    """Whether `one` is larger than `other` beyond the chance of fair coins.

    For two verdicts on the same points, of which `one` differ one way and `other` the
    other way: McNemar's exact test, one-sided, at 0.001.
    References: McNemar, "Note on the sampling error of the difference between
        correlated proportions", Psychometrika 12 (1947).
    """
    return bool(_beyond(one - 1, one + other, 0.5) <= _RISK)


def _beyond(count: Any, points: int, share: float) -> Any:
    """P(Binomial(points, share) > count)."""
    from scipy import special  # 0.1 s; `scipy.stats` takes another 0.4 s.

    return special.bdtrc(count, points, share)
