import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from robust_jax.core import metrics

counts = st.integers(1, 10_000).flatmap(
    lambda n: st.tuples(st.integers(0, n), st.just(n))
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998), Table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_intervals(successes, n, low, high):
    assert metrics.wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@given(counts, st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_agrees_with_scipy(count, confidence):
    successes, n = count
    expected = stats.binomtest(successes, n).proportion_ci(confidence, "wilson")
    found = metrics.wilson(successes, n, confidence)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(counts)
def test_interval_holds_the_value_and_stays_within_0_and_1(count):
    share = metrics.Proportion(*count)
    low, high = share.interval
    assert 0 <= low <= share.value <= high <= 1
    assert (low == 0) == (share.successes == 0)
    assert (high == 1) == (share.successes == share.n)


def test_text_is_per_cent_with_the_interval():
    assert str(metrics.Proportion(457, 500)) == "91.4 % [88.6, 93.6]"


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5), (0, -1)])
def test_impossible_counts_are_refused(successes, n):
    for make in (metrics.Proportion, metrics.wilson):
        with pytest.raises(ValueError, match="; expected"):
            make(successes, n)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, float("nan")])
def test_impossible_confidences_are_refused(confidence):
    with pytest.raises(ValueError, match=r"confidence=.*; expected"):
        metrics.wilson(1, 2, confidence)


@pytest.mark.parametrize("n", [6, 7, 25, 200, 1001])
def test_interval_of_the_median_is_that_of_scipy(n):
    values = np.random.default_rng(n).exponential(size=n)
    found = metrics.median(values)
    interval = stats.quantile_test(values, p=0.5).confidence_interval(0.95)
    assert found.value == np.median(values)
    assert (found.low, found.high) == (interval.low, interval.high)


def test_a_median_holds_what_was_not_found():
    found = metrics.median(np.array([1.0, np.inf, 2.0, np.inf]))
    assert (found.low, found.value, found.high) == (1.0, np.inf, np.inf)
    with pytest.raises(ValueError, match="values is empty"):
        metrics.median(np.zeros(0))
