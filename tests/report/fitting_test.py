"""Tables that fit: shared values on top, wrapped texts, whole numbers."""

import re

import pytest

from robust_jax import report
from robust_jax.core.metrics import Proportion

ROWS = [
    {
        "model": "out/train/model.safetensors",
        "threat": "linf eps=0.1",
        "attack": name,
        "n": 500,
        "accuracy": Proportion(left, 500),
        "forwards": 1000 * left,
    }
    for name, left in [("none", 488), ("apgd_ce with restarts", 60), ("worst case", 59)]
]
TEXTS = [{"check": f"{k} " + "word " * k, "says": "it " * 10 * k} for k in range(1, 4)]


def longest(text: str) -> int:
    return max(map(len, text.splitlines()))


def test_a_table_that_fits_stays_as_it_is():
    whole = report.format_table(ROWS)
    assert report.format_table(ROWS, width=longest(whole)) == whole


@pytest.mark.parametrize("width", [80, 60])
def test_what_all_rows_share_is_said_once(width):
    text = report.format_table(ROWS, width=width)
    assert longest(text) <= width
    assert text.count("safetensors") == text.count("linf eps=0.1") == 1
    assert re.search(r"none +97\.6 % \[95\.9, 98\.6\] +488,000", text)


@pytest.mark.parametrize("width", [60, 40, 20])
def test_texts_wrap_and_lose_no_word(width):
    text = report.format_table(TEXTS, width=width)
    assert longest(text) <= width
    assert text.count("word") == 6 and text.count("it") == 60


def test_numbers_are_never_cut():
    rows = [{"a": 123456789, "b": 987654321}, {"a": 1, "b": 2}]
    assert "123,456,789  987,654,321" in report.format_table(rows, width=10)


def test_one_row_keeps_its_columns():
    text = report.format_table(ROWS[:1], width=60)
    assert longest(text) <= 60 and "model" in text.splitlines()[0]


def test_a_terminal_has_its_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert longest(report.for_terminal(ROWS)) <= 60
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert report.for_terminal(ROWS) == report.format_table(ROWS)
