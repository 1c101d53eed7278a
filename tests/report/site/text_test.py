import csv
import io
import math

import pytest

from robust_jax.core import records
from robust_jax.core.metrics import Proportion
from robust_jax.report.site import downloads, text


def test_slugs_are_names_of_files_and_differ():
    names = ["Run 1", "run-1", "../../etc/passwd", "\u202e<b>", "", "a" * 99, "run.1"]
    found = text.slugs(names)
    assert found[:5] == ["run-1", "run-1-2", "etc-passwd", "b", "run"]
    assert len(set(found)) == len(names) and max(map(len, found)) <= 48
    assert all(
        set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for slug in found
    )


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_text_is_a_formula(start):
    evil = f"{start}cmd|' /C calc'!A0"
    [titles, cells] = csv.reader(
        io.StringIO(text.csv_text([evil], [[evil]]), newline="")
    )
    assert titles == cells == [f"'{evil}"]


def test_numbers_of_a_csv_stay_numbers():
    found = text.csv_text(["a"], [[-1.5], ["-1.5"], ["-Infinity"], [None], ["x-1"]])
    assert found.split("\r\n") == ["a", "-1.5", "-1.5", "-Infinity", '""', "x-1", ""]


def test_an_accuracy_is_several_cells():
    rows = [{"net": "a", "accuracy": Proportion(1, 2)}, {"net": "b", "accuracy": None}]
    titles, lines = downloads.flat(records.plain(rows))
    assert titles[:4] == ["net", "accuracy_successes", "accuracy_n", "accuracy"]
    assert titles[4:] == ["accuracy_low", "accuracy_high"]
    assert lines[0][:4] == ["a", 1, 2, 0.5]
    assert lines[1] == ["b", None, None, None, None, None]


@pytest.mark.parametrize("value", [None, True, "x", [1], {"successes": 1}])
def test_what_is_no_number(value):
    assert math.isnan(text.number(value))
    assert text.proportion(value) is None


@pytest.mark.parametrize("counts", [(3, 2), (-1, 2), (0, 0), (0.5, 2), ("1", "2")])
def test_what_is_no_proportion(counts):
    assert text.proportion(dict(zip(("successes", "n"), counts, strict=True))) is None
    assert text.proportion({"successes": 1, "n": 2}) == Proportion(1, 2)
