"""The lines of OUT/metrics.jsonl, over a run that goes on from an earlier step."""

import json
import sys
import types

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from robust_jax.commands.shared import metrics
from robust_jax.core.metrics import Proportion


@pytest.fixture(autouse=True)
def _parsed():
    flags.FLAGS.mark_as_parsed()
    yield
    flags.FLAGS.unparse_flags()


def lines(folder):
    return [
        json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]


class Board(list):
    """Of tensorboardX, what is written to it."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.append(("closed",))

    def __getattr__(self, name):
        return lambda *given, **more: self.append((name, *given, more))


def test_an_evaluation_goes_to_tensorboard(tmp_path, monkeypatch):
    board = Board()
    module = types.SimpleNamespace(SummaryWriter=lambda path: board)
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    broken = np.array([True, False, True])
    clean = np.full((3, 2, 2, 1), 0.5, np.float32)
    stage = types.SimpleNamespace(name="fgsm", accuracy=Proportion(1, 3))
    found = types.SimpleNamespace(
        clean_accuracy=Proportion(3, 3),
        robust_accuracy=Proportion(1, 3),
        stages=[stage],
        winner=np.where(broken, 0, -1),
        inside=types.SimpleNamespace(x_adv=clean + 0.1),
    )
    with flagsaver.flagsaver(tensorboard=True):
        metrics.write_board(tmp_path, found, clean, {"eps": 0.1, "radii": [1]})
    by_name = {entry[0]: entry for entry in board}
    assert by_name["add_scalar"][1:4] == ("accuracy_after_stage", 1 / 3, 0)
    images = {entry[1]: entry[2] for entry in board if entry[0] == "add_images"}
    assert {name: image.shape for name, image in images.items()} == dict.fromkeys(
        ("clean", "adversarial", "change"), (2, 2, 2, 1)
    )
    np.testing.assert_allclose(images["change"], 1.0, rtol=1e-6)  # The largest change.
    measured = {"clean_accuracy": 1.0, "robust_accuracy": 1 / 3}
    assert by_name["add_hparams"][1:3] == ({"eps": 0.1}, measured)
    assert board[-1] == ("closed",)
    board.clear()
    metrics.write_board(tmp_path, found, clean, {})
    assert board == []


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
