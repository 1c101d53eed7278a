"""What still fits before a limit, by a clock that the tests set."""

import math
import threading

import pytest

from robust_jax.evaluate.engine.ahead import Ahead
from robust_jax.evaluate.engine.limit import Limit, Pace


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_limit_runs_out_and_keeps_time_back(clock):
    limit = Limit(1.0)
    assert limit.left == 60 and not limit.is_over
    clock[0] += 50
    limit.reserved = 10.0
    assert limit.left == 0 and limit.is_over
    assert Limit().left == math.inf and not Limit().is_over


@pytest.mark.parametrize("minutes", [1e30, 1e308, 10**308])
def test_a_limit_beyond_all_clocks_is_waited_for(minutes):
    """Threads wait for 292 years at most."""
    goes_on = threading.Event()
    ahead = Ahead({"program": goes_on.wait})
    threading.Timer(0.05, goes_on.set).start()
    assert ahead.wait(Limit(minutes).left)


@pytest.mark.parametrize("minutes", [0, -1, math.nan, math.inf, "3", True])
def test_a_limit_is_a_number_of_minutes(minutes):
    with pytest.raises(ValueError, match="limit_minutes=.*; expected a finite number"):
        Limit(minutes)


def test_without_a_limit_a_chunk_is_as_wanted(clock):
    pace = Pace(Limit())
    assert pace.calls(25, 2) == 25


@pytest.mark.parametrize("seconds", [0.01, 0.5, 3.0])
def test_calls_end_before_the_limit(clock, seconds):
    """Of a device that takes so long for a call, two tiles being in flight."""
    limit, flight = Limit(1.0), 0
    pace, end = Pace(limit), clock[0] + 60
    while calls := pace.calls(25, 2):
        assert calls <= 25
        clock[0] += seconds * flight  # Looks wait for the round before.
        flight = 2 * calls
        pace.dispatched(flight)
    clock[0] += seconds * flight
    assert end - 6 * seconds <= clock[0] <= end


def test_nothing_is_begun_after_the_limit(clock):
    limit = Limit(1.0)
    pace = Pace(limit)
    assert pace.calls(25, 2) == 1  # Nobody knows yet how long a call takes.
    clock[0] += 60
    assert pace.calls(25, 2) == 0
