"""Resumed runs equal whole ones; foreign, broken and full directories."""

import dataclasses
import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from orbax import checkpoint as orbax

from robust_jax import train
from robust_jax.train import catalog, checkpointing, devices, digests, loop, setup
from robust_jax.train.checkpointing import OrbaxCheckpointer
from tests.train import resumed_run

fits = sys.modules["robust_jax.train.fit"]  # The name is the function's.
ROOT = pathlib.Path(__file__).parents[2]
QUICK = resumed_run.RECIPE.changed(
    {"method.name": "standard", "ball.eps": 0.0, "watch.every": 0.0, "epochs": 2}
)


@pytest.fixture(scope="module")
def sittings(tmp_path_factory):
    """Runs sittings (directory, event, step); of each, what it said."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def run(*each):
        flat = [str(part) for one in each for part in one]
        done = subprocess.run(
            [sys.executable, "-m", "tests.train.resumed_run", *flat],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


def test_a_run_that_is_killed_finds_no_room_and_hears_a_sigterm_is_a_whole_one(
    sittings, tmp_path
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    said = sittings(
        (whole, "none", 0),
        (parts, "kill", 7),
        (parts, "full", 5),
        (parts, "term", 3),
        (parts, "none", 0),
    )
    steps, fingerprint = said[0].split()
    assert steps == "20"
    # A killed run loses at most one interval: the next starts from step 4.
    assert said[1] == "killed"
    # A full disk leaves what was whole: of step 8, where the next one starts.
    wanted = r"cannot be written \(.*File too large.*\); make room and run the same"
    assert re.search(wanted, said[2])  # Of the file that was too large first.
    assert said[3] == f"stopped after step 11; the state is in {parts / '11'}"
    assert said[4] == f"9 {fingerprint}"


def fit(directory, recipe=QUICK, every=3, n=96, seed=0, on_step=lambda: None):
    saver = OrbaxCheckpointer(directory, every=every)
    few = resumed_run.data("train", n), resumed_run.data("validation", 20)
    options = {"checkpointer": saver, "seed": seed, "on_step": on_step}
    return train.fit(recipe, *few, **options), saver


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


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("part", ["arrays", "progress"])
def test_broken_checkpoints_give_way_to_earlier_ones(finished, part, tmp_path, caplog):
    directory, trained = finished
    shutil.copytree(directory, tmp_path / "copy")
    for path in (tmp_path / "copy" / "6" / part).rglob("*"):
        if path.is_file():
            truncated(path)
    steps = []
    again, _ = fit(tmp_path / "copy", on_step=lambda: steps.append(1))
    assert len(steps) == 3
    assert_equal(again, trained)
    assert "set aside as 6.damaged; training goes on from 3" in caplog.text
    again, _ = fit(tmp_path / "copy", on_step=lambda: steps.append(1))
    assert len(steps) == 3  # The last step was written in the place of the damaged.
    assert_equal(again, trained)


def test_a_run_without_a_whole_checkpoint_starts_anew_and_says_so(
    finished, tmp_path, caplog
):
    directory, trained = finished
    shutil.copytree(directory, tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("arrays/**/*"):
        if path.is_file():
            truncated(path)
    steps = []
    again, _ = fit(tmp_path / "copy", on_step=lambda: steps.append(1))
    assert len(steps) == 6
    assert_equal(again, trained)
    (said,) = (r.message for r in caplog.records if "damaged" in r.message)
    assert "set aside as 6.damaged, 3.damaged; training starts anew" in said


@pytest.fixture(scope="module")
def restored(finished):
    """What is restored of a copy of the finished run's directory, as bytes."""
    few = resumed_run.data("train", 96)
    named = {"train": few, "validation": resumed_run.data("validation", 20)}
    identity = fits._identity(QUICK, 0, named)
    fresh = setup.set_up(QUICK, few, 0).fresh()

    def restored(directory, change=lambda kept: kept):
        saver = OrbaxCheckpointer(directory, every=3)
        kept = saver.restore(change(fresh), identity)
        leaves = jax.tree.leaves((kept.state, kept.best))
        told = json.dumps(dataclasses.asdict(kept.progress))
        return int(kept.state.step), told, [np.asarray(a).tobytes() for a in leaves]

    return restored


def test_no_flipped_bit_is_restored(finished, restored, tmp_path):
    """Of 40 flips in the newest checkpoint 20 came back as other numbers."""
    rng, copy = np.random.default_rng(0), tmp_path / "copy"
    whole = restored(finished[0])
    shutil.copytree(finished[0], copy)
    shutil.rmtree(copy / "6")
    earlier = restored(copy)
    files = [p for p in (finished[0] / "6").rglob("*") if p.is_file()]
    sizes = np.array([path.stat().st_size for path in files])
    came = []
    for at in rng.choice(len(files), 30, p=sizes / sizes.sum()):
        shutil.copytree(finished[0] / "6", copy / "6")
        path = copy / files[at].relative_to(finished[0])
        content = bytearray(path.read_bytes())
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        came.append(restored(copy))
        assert came[-1] in (whole, earlier)
        shutil.rmtree(copy / "6", ignore_errors=True)
    assert earlier in came and whole in came


def _with_arrays_of_another(copy):
    shutil.rmtree(copy / "6" / "arrays")
    shutil.copytree(copy / "3" / "arrays", copy / "6" / "arrays")


def _without_arrays(copy):
    shutil.rmtree(copy / "6" / "arrays")


def _telling(content):
    return lambda copy: (copy / "6" / "progress" / "metadata").write_bytes(content)


@pytest.mark.parametrize(
    "change",
    [
        _with_arrays_of_another,
        _without_arrays,
        *map(_telling, (b"{}", b"null", b"[]", b"", b"[" * 100_000)),
    ],
)
def test_what_is_no_checkpoint_gives_way(change, finished, restored, tmp_path, caplog):
    shutil.copytree(finished[0], tmp_path / "copy")
    change(tmp_path / "copy")
    assert restored(tmp_path / "copy")[0] == 3
    assert "6.damaged; training goes on from 3" in caplog.text


def test_a_checkpoint_under_another_step_is_not_taken(finished, restored, tmp_path):
    shutil.copytree(finished[0], tmp_path / "copy")
    (tmp_path / "copy" / "6").rename(tmp_path / "copy" / "7")
    assert restored(tmp_path / "copy")[0] == 3


def test_what_orbax_cannot_list_is_refused_in_a_sentence(finished, restored, tmp_path):
    shutil.copytree(finished[0], tmp_path / "copy")
    (tmp_path / "copy" / "6" / "_CHECKPOINT_METADATA").write_text("[]")
    with pytest.raises(ValueError, match="copy: its checkpoints cannot be read .*list"):
        restored(tmp_path / "copy")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="directory=.*expected a directory, found a"):
        restored(tmp_path / "file")


def failing(error):
    def fail(*args, **kwargs):
        raise error

    return fail


NO_MEMORY = MemoryError("Unable to allocate 64 GiB")
NO_DISK = OSError(errno.EIO, "Input/output error", "d/5e85")
NO_ROOM = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9")
FOREIGN = Exception("while reading\nfour pages")


@pytest.mark.parametrize(
    ("where", "error", "kind", "words"),
    [
        ("restore", NO_MEMORY, MemoryError, "Unable to allocate"),
        ("restore", NO_DISK, OSError, "Input/output error"),
        (
            "restore",
            NO_ROOM,
            ValueError,
            "stays, but.*RESOURCE_EXHAUSTED.*run the same",
        ),
        ("restore", FOREIGN, ValueError, r"stays, but.*\(while reading\)"),
        ("__init__", NO_DISK, OSError, "Input/output error"),
        ("hashing", NO_DISK, OSError, "Input/output error"),
    ],
    ids=str,
)
def test_what_fails_for_now_leaves_finished_checkpoints(
    where, error, kind, words, finished, restored, monkeypatch
):
    """A host or device without memory is no reason to train anew."""
    fails = orbax.CheckpointManager, where
    if where == "hashing":
        fails = digests.hashlib, "file_digest"
    with monkeypatch.context() as patch:
        patch.setattr(*fails, failing(error))
        with pytest.raises(kind, match=words):
            restored(finished[0])
    assert sorted(path.name for path in finished[0].iterdir()) == ["3", "6"]
    assert restored(finished[0])[0] == 6


def test_arrays_of_another_form_are_refused_by_name(finished, restored):
    def wider(kept):
        longer = jax.tree.map(lambda a: np.zeros((*a.shape, 2), a.dtype), kept.best)
        return kept._replace(best=longer)

    words = r"1/params/\S+='float32 \[\d+\]', this one has 'float32 \[\d+, 2\]'; choose"
    with pytest.raises(ValueError, match=words):
        restored(finished[0], wider)
    with pytest.raises(ValueError, match=r"1/params/\S+='float32.*, this one has None"):
        restored(finished[0], lambda kept: kept._replace(best=None))
    assert sorted(path.name for path in finished[0].iterdir()) == ["3", "6"]


def test_a_checkpoint_without_digests_is_refused_and_stays(
    finished, restored, tmp_path
):
    copy = tmp_path / "copy"
    shutil.copytree(finished[0], copy)
    (copy / "6" / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match="step 6 has no SHA256SUMS, as an earlier ver"):
        restored(copy)
    assert sorted(path.name for path in copy.iterdir()) == ["3", "6"]


def test_digests_are_written_as_sha256sum_takes_them(finished):
    lines = (finished[0] / "6" / "SHA256SUMS").read_text().splitlines()
    assert len(lines) == len(set(lines)) > 5
    for digest, path in (line.split("  ") for line in lines):
        assert digest == hashlib.sha256((finished[0] / path).read_bytes()).hexdigest()


def test_the_first_process_decides_for_all(finished, restored, monkeypatch):
    """The second finds its files whole, and takes the word of the first."""
    told = iter([1, 0, 0])  # Is 6 damaged, is 3, are they set aside?
    monkeypatch.setattr(checkpointing.jax, "process_index", lambda: 1)
    monkeypatch.setattr(devices, "max_over_processes", lambda own: max(own, next(told)))
    assert restored(finished[0])[0] == 3
    assert sorted(path.name for path in finished[0].iterdir()) == ["3", "6"]


def test_what_fails_in_the_first_process_fails_in_all(finished, restored, monkeypatch):
    monkeypatch.setattr(checkpointing.jax, "process_index", lambda: 1)
    monkeypatch.setattr(devices, "max_over_processes", lambda own: max(own, 2))
    with pytest.raises(ValueError, match="the first process cannot look"):
        restored(finished[0])


def test_other_examples_under_the_same_ids_are_another_run(finished):
    few, validation = resumed_run.data("train", 96), resumed_run.data("validation", 20)
    saver = OrbaxCheckpointer(finished[0], every=3)
    dimmed = dataclasses.replace(few, images=few.images // 2)
    for data in (dimmed, few.take(np.arange(96)[::-1])):
        with pytest.raises(ValueError, match="train='digits, n = 96, sha256 "):
            train.fit(QUICK, data, validation, checkpointer=saver)


def test_another_setting_of_jax_is_another_run(finished):
    told = pytest.raises(ValueError, match="jax_default_matmul_precision='None', this")
    with jax.default_matmul_precision("bfloat16"), told:
        fit(finished[0])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"recipe": QUICK.changed({"epochs": 3})}, "recipe.epochs='2', this one has"),
        ({"recipe": QUICK.changed({"model_config.hidden": "[9]"})}, "_config.hidden="),
        ({"seed": 1}, "seed=0, this one has 1; choose another directory or restart"),
        ({"n": 90}, "train='digits, n = 96, sha256"),
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
    once = QUICK.changed({"epochs": 1})
    trained, _ = fit(tmp_path / "whole", once)
    saver = OrbaxCheckpointer(tmp_path / "stopped", every=2)
    few = resumed_run.data("train", 96), resumed_run.data("validation", 20)
    with pytest.raises(train.Stopped, match="after step 2; the state is in"):
        train.fit(once, *few, checkpointer=saver, on_step=lambda: saver.ask())
    again, _ = fit(tmp_path / "stopped", once, every=2)
    assert_equal(again, trained)


def test_teachers_hear_signals_and_go_on(monkeypatch, tmp_path, caplog):
    monkeypatch.setitem(catalog.RECIPES, "small", QUICK.changed({"epochs": 1}))
    hat = QUICK.changed({"method.name": "helper_based", "epochs": 1})
    hat = dataclasses.replace(hat, teachers=("small",))
    saver = OrbaxCheckpointer(tmp_path, every=50)
    few = resumed_run.data("train", 96), resumed_run.data("validation", 20)
    saver.ask()
    with pytest.raises(train.Stopped, match="step 1; the state is in .*/small/1$"):
        train.fit(hat, *few, checkpointer=saver)
    steps = []
    fit(tmp_path, hat, every=50, on_step=lambda: steps.append(1))
    assert len(steps) == 3  # Of the net itself.
    assert (tmp_path / "small" / "3").exists() and (tmp_path / "3").exists()
    for path in (tmp_path / "small" / "3" / "arrays").rglob("*"):
        if path.is_file():
            truncated(path)
    fit(tmp_path, hat, every=50)
    assert "small: checkpoints that do not match their digests" in caplog.text
    assert (tmp_path / "small" / "3").exists()


@pytest.mark.parametrize("name", ["every", "keep"])
def test_bad_numbers_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match=f"{name}=0; expected an integer >= 1"):
        OrbaxCheckpointer(tmp_path, **{name: 0})
    with pytest.raises(TypeError, match="directory=3; expected the name of a directo"):
        OrbaxCheckpointer(3)
