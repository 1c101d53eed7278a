"""Resumed runs equal whole ones; foreign, broken and full directories."""

import os
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from robust_jax import train
from robust_jax.train import keeping, loop, setup
from tests.train import resumed_run

ROOT = pathlib.Path(__file__).parents[2]
QUICK = resumed_run.RECIPE.changed(
    {"method.name": "standard", "ball.eps": 0.0, "watch.every": 0.0, "epochs": 2}
)


@pytest.fixture(scope="module")
def sitting(tmp_path_factory):
    """Runs one sitting in a directory: its steps and its hash, or what it said."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def run(directory, event="none", step=0):
        command = [sys.executable, "-m", "tests.train.resumed_run"]
        done = subprocess.run(
            [*command, str(directory), event, str(step)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (done.returncode == 0) == (event != "kill"), done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture(scope="module")
def whole(sitting, tmp_path_factory):
    steps, fingerprint = sitting(tmp_path_factory.mktemp("whole")).split()
    assert int(steps) == 20
    return fingerprint


def test_ten_steps_a_sigterm_and_ten_are_twenty(sitting, whole, tmp_path):
    said = sitting(tmp_path, "term", 10)
    assert said == f"stopped after step 10; the state is in {tmp_path / '10'}"
    assert sitting(tmp_path) == f"10 {whole}"


def test_a_killed_run_loses_at_most_one_interval(sitting, whole, tmp_path):
    sitting(tmp_path, "kill", 11)
    assert sitting(tmp_path) == f"12 {whole}"  # From step 8 on.


def test_a_full_disk_leaves_what_was_whole(sitting, whole, tmp_path):
    said = sitting(tmp_path, "full", 10)
    assert "cannot be written (File too large); make room and run the same" in said
    assert sitting(tmp_path) == f"12 {whole}"


def fit(directory, recipe=QUICK, every=3, n=96, seed=0, on_step=lambda: None):
    keeper = keeping.Keeper(directory, every=every)
    few = resumed_run.data("train", n), resumed_run.data("validation", 20)
    return train.fit(recipe, *few, keeper=keeper, seed=seed, on_step=on_step), keeper


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("finished")
    return directory, fit(directory)[0]


def assert_equal(trained, other):
    jax.tree.map(np.testing.assert_array_equal, trained.variables, other.variables)
    jax.tree.map(np.testing.assert_array_equal, trained.averages, other.averages)
    for result in (trained, other):
        result.history.pop("seconds", None)
    assert trained.history == other.history
    assert trained.best_epoch == other.best_epoch


def test_a_finished_run_gives_its_result_again(finished):
    directory, trained = finished
    steps = []
    again, _ = fit(directory, on_step=lambda: steps.append(1))
    assert not steps
    assert_equal(again, trained)
    assert sorted(p.name for p in directory.iterdir()) == ["3", "6"]


def test_broken_checkpoints_give_way_to_earlier_ones(finished, tmp_path):
    directory, trained = finished
    shutil.copytree(directory, tmp_path / "copy")
    for path in (tmp_path / "copy" / "6").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    steps = []
    again, _ = fit(tmp_path / "copy", on_step=lambda: steps.append(1))
    assert len(steps) == 3
    assert_equal(again, trained)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"recipe": QUICK.changed({"epochs": 3})}, "recipe.epochs='2', this one has"),
        ({"recipe": QUICK.changed({"model_config.hidden": "[9]"})}, "_config.hidden="),
        ({"seed": 1}, "seed=0, this one has 1; choose another directory or restart"),
        ({"n": 90}, "train='digits, n = 96, ids"),
    ],
)
def test_another_runs_directory_is_refused_by_name(finished, other, words):
    with pytest.raises(ValueError, match=words):
        fit(finished[0], **other)


def test_a_diverged_loss_names_the_last_good_checkpoint(tmp_path):
    wild = QUICK.changed({"descent.rate": 1e30, "descent.warm_up": 0.0})
    with pytest.raises(ValueError, match=r"last good checkpoint is .*/1$"):
        fit(tmp_path, wild, every=1)


def test_stretches_as_one_program_resume_as_well(monkeypatch, tmp_path):
    def traced(learner, batching, on_step, mesh, on_host):
        return loop.traced(learner, batching, on_step, mesh)

    monkeypatch.setattr(setup.loop, "auto", traced)
    trained, _ = fit(tmp_path / "whole")
    keeper = keeping.Keeper(tmp_path / "stopped", every=2)
    few = resumed_run.data("train", 96), resumed_run.data("validation", 20)
    with pytest.raises(train.Stopped, match="after step 2; the state is in"):
        train.fit(QUICK, *few, keeper=keeper, on_step=lambda: keeper.ask())
    again, _ = fit(tmp_path / "stopped", every=2)
    assert_equal(again, trained)


def test_teachers_hear_signals_and_go_on(tmp_path):
    hat = train.recipe("hat_digits", {"model": "mlp", "epochs": 2, "attack.steps": 1})
    whole, _ = fit(tmp_path / "whole", hat, every=50)
    keeper = keeping.Keeper(tmp_path / "stopped", every=50)
    few = resumed_run.data("train", 96), resumed_run.data("validation", 20)
    keeper.ask()
    with pytest.raises(train.Stopped, match="step 1; the state is in .*/digits/1$"):
        train.fit(hat, *few, keeper=keeper)
    again, _ = fit(tmp_path / "stopped", hat, every=50)
    assert_equal(again, whole)
    assert (tmp_path / "stopped" / "digits" / "80").exists()


@pytest.mark.parametrize("name", ["every", "keep"])
def test_bad_numbers_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match=f"{name}=0; expected an integer >= 1"):
        keeping.Keeper(tmp_path, **{name: 0})
