import importlib
import io
import logging
import time

import pytest

from robust_jax.report import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def lines(caplog, monkeypatch):
    """What is logged while stderr is a file."""
    monkeypatch.setattr("sys.stderr", io.StringIO())
    caplog.set_level(logging.INFO, logger="absl")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_fast_loop_logs_its_start_and_its_end(lines):
    assert list(progress(range(1000), "attack")) == list(range(1000))
    first, last = lines()
    assert first.startswith("attack:   0%") and "0/1000" in first
    assert last.startswith("attack: 100%") and "1000/1000" in last


def test_lines_come_at_the_interval_and_not_more_often(lines, monkeypatch):
    module = importlib.import_module("robust_jax.report.progress")
    monkeypatch.setattr(module, "_LOG_SECONDS", 0.1)
    start = time.monotonic()
    with progress(40, "train") as bar:
        for _ in range(40):
            time.sleep(0.01)
            bar.update()
    due = (time.monotonic() - start) / 0.1
    assert 3 <= len(lines()) <= due + 2  # Beside those that were due: first and last.


def test_the_last_line_has_the_last_count_and_values(lines):
    with progress(10, "train", unit="epoch") as bar:
        for epoch in range(10):
            bar.set(loss=1 / (1 + epoch))
            bar.update()
    assert "10/10" in lines()[-1]
    assert "loss=0.1" in lines()[-1]
    assert "epoch" in lines()[-1]


def test_a_loop_that_breaks_off_says_where(lines):
    with pytest.raises(RuntimeError), progress(10, "attack") as bar:
        bar.update(3)
        raise RuntimeError
    assert "3/10" in lines()[-1]


def test_a_loop_that_needed_less_stands_at_its_end(lines):
    """An attack that has won everything leaves its last steps out."""
    with progress(40, "fgsm") as bar:
        bar.update(2)
    assert lines()[-1].startswith("fgsm: 100%") and "40/40" in lines()[-1]


def test_a_terminal_gets_a_bar_and_no_log(caplog, monkeypatch):
    caplog.set_level(logging.INFO, logger="absl")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    for _ in progress([1, 2, 3], "attack"):
        pass
    assert "attack: 100%" in terminal.getvalue()
    assert "\r" in terminal.getvalue()
    assert not caplog.records


def test_closing_twice_shows_one_last_line(lines):
    with progress(2, "attack") as bar:
        bar.update(2)
        bar.close()
    assert sum("2/2" in line for line in lines()) == 1
