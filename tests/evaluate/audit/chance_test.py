"""The statistics of the checks against SciPy's."""

import pytest
from scipy import stats

from robust_jax.evaluate.audit.chance import outweighs, tolerated


@pytest.mark.parametrize("points", [1, 16, 128, 1000, 10_000])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.05, 0.3])
def test_one_count_more_is_rarer_than_one_in_a_thousand(points, share):
    count = tolerated(points, share)
    assert stats.binom.sf(count, points, share) <= 1e-3
    assert count == 0 or stats.binom.sf(count - 1, points, share) > 1e-3


def test_a_chance_of_one_in_a_thousand_passes():
    assert tolerated(3, 0.1) == 2  # 0.1 ** 3, which rounding makes a hair more.


def test_thousands_of_flips_are_weighed():
    assert outweighs(700, 400) and not outweighs(560, 540)


@pytest.mark.parametrize("one", range(25))
@pytest.mark.parametrize("other", [0, 3, 12])
def test_flips_are_weighed_as_coins_are(one, other):
    # sf(one - 1) is the chance of `one` heads or more.
    rare = stats.binom.sf(one - 1, one + other, 0.5) <= 1e-3
    assert outweighs(one, other) == rare
