"""What chance alone may do to counts of points, so that a check flags no more often."""

import math

_RISK = 1e-3  # Of flagging an evaluation that is right at the limit: 1 in 1,000.


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
    chance, above = (1.0 - share) ** points, 1.0
    for count in range(points + 1):
        above -= chance
        if above <= _RISK:
            return count
        chance *= (points - count) / (count + 1) * share / (1 - share)
    return points


def outweighs(one: int, other: int) -> bool:
    """Whether `one` is larger than `other` beyond the chance of fair coins.

    For two verdicts on the same points, of which `one` differ one way and `other` the
    other way: McNemar's exact test, one-sided, at 0.001.
    References: McNemar, "Note on the sampling error of the difference between
        correlated proportions", Psychometrika 12 (1947).
    """
    flips = one + other
    tail = sum(math.comb(flips, k) for k in range(one, flips + 1))
    return tail <= _RISK * 2**flips
