"""What is told of an evaluation on its way, and when the file goes."""

import types

import pytest

from robust_jax.commands.shared import following
from robust_jax.core.metrics import Proportion
from robust_jax.evaluate.forecast import Progress
from robust_jax.report.site import live


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose clock shows a second more at each look."""
    clock = iter(range(10_000))
    monkeypatch.setattr(following.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(following.recording, "command", lambda: "evaluate")
    return types.SimpleNamespace(out=tmp_path, seconds=7.0)


def told(bar, times: int) -> None:
    for k in range(times):
        bar(Progress(k / times, Proportion(times - k, times), "square"))


def test_points_come_no_more_often_than_asked(run):
    with following.Following(run, "x") as bar:
        told(bar, 9)
    command, points = live.read_progress(run.out / live.PROGRESS)
    assert command == "evaluate" and 3 <= len(points) < 9
    first = points[0]
    assert first[:4] == (7.0, 0.0, "square", 1.0) and first.low < first.high == 1


def test_of_many_points_the_first_and_the_last_stay(run, monkeypatch):
    monkeypatch.setattr(following, "_EVERY", 0.0)
    monkeypatch.setattr(following, "_MOST", 10)
    with following.Following(run, "x") as bar:
        told(bar, 40)
    shares = [point.share for point in live.read_progress(run.out / live.PROGRESS)[1]]
    assert len(shares) <= 10 and shares == sorted(set(shares))
    assert shares[0] == 0 and shares[-1] == 39 / 40


def test_a_run_that_is_stopped_leaves_no_file(run):
    with pytest.raises(KeyboardInterrupt), following.Following(run, "x") as bar:
        told(bar, 4)
        raise KeyboardInterrupt
    assert not (run.out / live.PROGRESS).exists()
