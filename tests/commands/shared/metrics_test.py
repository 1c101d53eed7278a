"""The lines of OUT/metrics.jsonl, over a run that goes on from an earlier step."""

import json
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from robust_jax.commands.shared import metrics


@pytest.fixture(autouse=True)
def _parsed():
    flags.FLAGS.mark_as_parsed()
    yield
    flags.FLAGS.unparse_flags()


def lines(folder):
    return [
        json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]


def test_a_run_that_goes_on_replaces_the_rows_from_there_on(tmp_path):
    first = metrics.Metrics(tmp_path)
    for step in (10, 20, 30):
        first.write(step, {"loss": float(step), "accuracy": None})
    again = metrics.Metrics(tmp_path)
    again.write(20, {"loss": 21.0})
    assert lines(tmp_path) == [
        {"step": 10, "loss": 10.0, "accuracy": None},
        {"step": 20, "loss": 21.0},
    ]
    again.write(30, {"loss": float("nan")})
    assert lines(tmp_path)[2:] == [{"step": 30, "loss": "NaN"}]


def test_rows_of_another_run_do_not_stay(tmp_path):
    metrics.Metrics(tmp_path).write(5, {"loss": 1.0})
    anew = metrics.Metrics(tmp_path)
    anew.start(0)
    anew.write(10, {"loss": 2.0})
    assert [row["step"] for row in lines(tmp_path)] == [10]
    on = metrics.Metrics(tmp_path)
    on.start(10)
    assert [row["step"] for row in lines(tmp_path)] == [10]


@pytest.mark.parametrize("content", [b"{}", b"null", b"cut {", b"[" * 10_000, b"\xff"])
def test_what_is_no_row_is_refused_and_stays(content, tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"metrics.jsonl cannot be read .*move it"):
        metrics.Metrics(tmp_path).start(0)
    assert path.read_bytes() == content


def test_a_missing_package_is_named_before_the_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with (
        flagsaver.flagsaver(wandb=True),
        pytest.raises(ValueError, match="wandb=True needs wandb, which is not inst"),
    ):
        metrics.check_flags()
