"""Faults happen where they should, and what they do wrong is counted."""

import json
import pathlib

import numpy as np
import pytest

from experiments.selfchecks import fault_judging, fault_kinds, fault_subjects
from experiments.selfchecks.children import Outcome
from experiments.selfchecks.fault_hooks import Fault
from tests.experiments import command_line

pytestmark = pytest.mark.xdist_group("experiment faults")
SMALL = ("train", "--recipe=digits", "--set=model=mlp", "--set=model_config.hidden=[8]",
         "--epochs=2", "--count=32", "--set=data.batch_size=16", "--save_every=1",
         "--set=validate_every=2", "--out=out")  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (Fault("kill", seconds=0.0), -9, ""),
        (Fault("stop", touch=20), 130, "the same command goes on from there"),
        (Fault("term", touch=20), 143, "the same command goes on from there"),
        (Fault("full", touch=20), 2, "No space left on device); make room"),
        (Fault("full", size=1000), 2, "File too large"),
    ],
)
def test_a_fault_happens_on_the_way_and_the_run_goes_on(tmp_path, fault, code, said):
    end = command_line.run([*SMALL], tmp_path, fault)
    assert end.code == code and said in end.err and "Traceback" not in end.err, end
    newest = fault_judging.newest(tmp_path)
    again = command_line.run([*SMALL], tmp_path)
    assert again.code == 0 and again.touches > 20, again
    assert fault_judging.gone_on(tmp_path, again, newest) == []


def test_damage_is_what_its_name_says(tmp_path):
    rng = np.random.default_rng(0)
    files = [tmp_path / name for name in "ab"]
    for path in files:
        path.write_bytes(rng.bytes(50))
    before = [path.read_bytes() for path in files]
    fault_kinds.flip(files, rng)
    bits = [
        np.unpackbits(np.frombuffer(old, "u1") ^ np.frombuffer(path.read_bytes(), "u1"))
        for old, path in zip(before, files, strict=True)
    ]
    assert np.sum(bits) == 1
    fault_kinds.cut(files, rng)
    assert sorted(len(path.read_bytes()) for path in files)[0] < 50
    fault_kinds.drop(files, rng)
    assert len(fault_kinds.files_of([tmp_path])) == 1


def test_state_of_another_run_comes_in(tmp_path):
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
        for name in "abc":
            (folder / name).write_text(folder.name)
    for seed in range(5):
        fault_kinds.exchange(own, other, np.random.default_rng(seed))
    assert {path.read_text() for path in own.iterdir()} <= {"own", "other"}
    assert "other" in {path.read_text() for path in own.iterdir()}


SUBJECT = fault_subjects.Subject(
    "evaluate", (), (), ("journal",), lambda out: json.loads((out / "it").read_text())
)


@pytest.mark.parametrize(
    ("end", "answer", "left", "wanted"),
    [
        (Outcome(0, "", ""), "1", "part", ("same", [])),
        (Outcome(0, "", ""), "2", "part", ("other", ["wrong"])),
        (Outcome(0, "", ""), "{", "part", ("other", ["wrong"])),
        (Outcome(3, "", "error: claims"), "2", "part", ("other", ["wrong"])),
        (Outcome(2, "", "error: no\n"), "2", "part", ("refused", [])),
        (Outcome(2, "", "error: no\n"), "2", "else", ("refused", ["lost"])),
        (Outcome(2, "", "no\n"), "1", "part", ("refused", ["tracebacks"])),
        (Outcome(1, "", "Traceback ("), "1", "part", ("other", ["tracebacks", "lost"])),
        (Outcome(-9, "", ""), "1", "part", ("other", ["hung"])),
    ],
)
def test_what_is_bad_is_counted(tmp_path, end, answer, left, wanted):
    journal = tmp_path / "out" / "journal"
    journal.mkdir(parents=True)
    (journal / "part").write_text("items")
    before = fault_judging.kept(SUBJECT, tmp_path)
    (journal / "part").rename(journal / left)
    (tmp_path / "out" / "it").write_text(answer)
    assert fault_judging.ended(SUBJECT, tmp_path, 1, end, before) == wanted


@pytest.mark.parametrize(("done", "lost"), [("4", []), ("1,004", []), ("2", ["lost"])])
def test_a_training_that_goes_back_is_counted(tmp_path, done, lost):
    (tmp_path / "out" / "checkpoints" / "3").mkdir(parents=True)
    (tmp_path / "out" / "checkpoints" / "9.orbax-checkpoint-tmp").mkdir()
    end = Outcome(0, f"going on from step {done} of 9", "")
    newest = fault_judging.newest(tmp_path)
    assert newest == 3 and fault_judging.gone_on(tmp_path, end, newest) == lost
    (tmp_path / "out" / "checkpoints" / "2.damaged").mkdir()
    assert fault_judging.gone_on(tmp_path, end, newest) == ["lost"]


@pytest.mark.full
def test_a_few_faults_of_each_kind_do_no_harm(tmp_path):
    end = command_line.run(["selfchecks.faults", "--faults=26", "--out=out"], tmp_path)
    assert end.code == 0, end.err
    record = json.loads(pathlib.Path(tmp_path, "out", "record.json").read_text())
    assert sum(row["trials"] for row in record["rows"]) == 26


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--faults=0"], "faults=0; expected an integer >= 1"),
        (["--only=evaluat"], "unknown subject or kind 'evaluat'; did you mean 'eva"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, flags, words):
    end = command_line.run(["selfchecks.faults", *flags], tmp_path)
    assert end.code == 2 and words in end.err and end.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
