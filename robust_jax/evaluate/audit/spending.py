"""How an audit spends: which check is asked of how many points.

First every check is asked of a few, those that tell most for their cost before the
others, then checks that could not decide are asked of twice as many, and of twice as
many again, then the cheap ones, while the budget lasts.
"""

from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple

from robust_jax.evaluate.audit.finding import PASS, Finding

FEWEST = 16  # Points of a check: fewer say nothing of a share.
# Forward-equivalents for each point that holds, of a check by itself; those that look
# at nothing, or only at what the plan has found, cost nothing. In the order of asking.
_PRICES: Mapping[int, int] = {
    1: 250,
    5: 250,
    6: 250,
    18: 250,
    27: 70,
    14: 302,
    13: 36,
    19: 325,
    12: 435,
    10: 350,
    9: 650,
    22: 190,
    11: 435,
    16: 410,
    15: 410,
    8: 370,
    17: 230,
    21: 100,
}
# These look at what others have looked at; if they have, for nothing.
_SHARED: Mapping[int, int] = {5: 1, 6: 1, 18: 1, 15: 16}
_WHOLE = (1, 5, 6, 15, 16, 18)  # More points would tell them little more.
# They differentiate the model, or attack it by gradients.
BY_GRADIENTS = (5, 6, 8, 9, 10, 11, 12, 15, 16, 17, 18, 19, 21, 22, 27)
_ALWAYS = (1, 5, 6, 18, 27)  # Whatever the plan has cost, if it left anything.


class Extension(NamedTuple):
    """A check that may be asked again, of more points."""

    number: int
    points: int
    price: float


def uses_points(number: int) -> bool:
    """Whether a check asks the model about the bench's points."""
    return number in _PRICES


def order(number: int) -> int:
    """When a check is asked: free ones first."""
    known = list(_PRICES)
    return known.index(number) if number in known else -1


def price(number: int, points: int) -> int:
    """What a check of so many points may cost at most, in forward-equivalents."""
    return _PRICES.get(number, 0) * points


def affordable(
    number: int, points: int, left: float, asked: Container[int], is_open: bool
) -> bool:
    """Whether a check is asked of its first points, when others have been asked.

    Args:
        is_open: whether the plan left any example, so that too many may be left.
    """
    is_free = (is_open and number in _ALWAYS) or _SHARED.get(number) in asked
    return is_free or price(number, points) <= left


def next_extension(
    findings: Iterable[Finding], most: int, left: float
) -> Extension | None:
    """The check that is asked of twice as many points next; None ends the spending.

    A check that passed in spite of what it found comes first: more points decide it.
    Then the one that doubles for the least.
    """
    possible = [
        (f.value == 0, price(f.number, 2 * f.points), f)
        for f in findings
        if f.verdict == PASS and 0 < f.points < most and f.number not in _WHOLE
    ]
    possible = [one for one in possible if one[1] <= left]
    if not possible:
        return None
    _, cost, finding = min(possible, key=lambda one: one[:2])
    return Extension(finding.number, min(most, 2 * finding.points), cost)
