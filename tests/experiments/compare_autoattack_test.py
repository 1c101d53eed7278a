"""Our plans beside AutoAttack, without it: a script plays the reference's side."""

import json

import numpy as np
import pytest

from experiments.comparisons.peers import evaluations
from experiments.comparisons.peers.libraries import Libraries
from experiments.comparisons.peers.problem import Problem
from robust_jax import threats
from tests.experiments import command_line, player

pytestmark = pytest.mark.xdist_group("compare_peers")
GIVEN = "comparisons.compare_autoattack --eps=0.1 --checkpoint=net.safetensors"

# (command, what the sentence must hold)
BAD = [
    (f"{GIVEN} --peers_python=none", "run `make peers` first"),
    (f"{GIVEN} --plans=swft", "unknown plan 'swft'; did you mean 'swift'"),
    (f"{GIVEN} --repetitions=0", "repetitions=0; expected an integer >= 1"),
    (f"{GIVEN} --plans=swift,swift", "expected at least one plan, each once"),
    (f"{GIVEN} --plans=", "expected at least one plan, each once"),
    ("comparisons.compare_autoattack --eps=0", "eps=0.0; expected a finite number > 0"),
]

# The reference breaks nothing, then claims what is no image at all.
PLAYER = (
    player.START
    + """versions = {{"autoattack": "9", "torch": "8"}}
print(json.dumps({{"versions": versions, "threads": 2}}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if request["batch"] == 2:
        print(json.dumps({{"error": "TypeError: batch"}}), flush=True)
        continue
    assert request["attack"] == "AutoAttack" and request["batch"] == 3, request
    assert request["arguments"] == {{"eps": 0.1, "norm": "Linf", "version": "standard"}}
    moved = 0 if request["seed"] == 4 else np.nan
    np.savez(sys.argv[3], x_adv=images + moved)
    said = {{"seconds": 2.0, "forwards": 3.0, "backwards": 2.0}}
    print(json.dumps(said), flush=True)
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return player.set_up(tmp_path_factory.mktemp("compare_autoattack"), PLAYER)


def test_both_sides_take_turns_and_are_judged_alike(folder):
    options = "--count=40 --repetitions=2 --seed=4 --batch=3 --plans=basic --out=out"
    command = [*GIVEN.split(), f"--peers_python={folder / 'python'}", *options.split()]
    (end,) = command_line.run_all([command], folder)
    assert end.code == 0, end.err
    record = json.loads((folder / "out" / "record.json").read_text())
    ours, theirs = record["rows"]
    assert (ours["evaluation"], theirs["evaluation"]) == ("basic", "AutoAttack")
    n = theirs["counts"][0]  # With the first seed it breaks nothing ...
    assert n > 0 and theirs["counts"] == [n, n]
    assert theirs["outside"] == n  # ... then its claims are outside.
    assert theirs["cost"] == 7.0 and theirs["all"] == [2.0, 2.0]
    assert ours["only_ours"] == sum(n - left for left in ours["counts"])
    assert ours["only_theirs"] == 0 and ours["outside"] == 0
    ratios = np.array(ours["all"]) / 2.0
    np.testing.assert_allclose(ours["ratios"], ratios)
    assert ours["ratio"] == pytest.approx(np.median(ratios))
    assert ours["first"] > 0 and theirs["ratio"] == 1.0


def test_an_error_of_the_reference_is_a_users(folder):
    images, labels = np.zeros((3, 8, 8, 1), np.float32), np.zeros(3, int)
    logits = np.eye(3)[labels]
    problem = Problem(None, threats.Linf(0.1), images, labels, labels, 3, logits)
    with Libraries(str(folder / "python"), {"images": images}) as peers:
        match = evaluations.Match(problem, peers, plans=[], seeds=[0], batch=2)
        with pytest.raises(ValueError, match=r"AutoAttack failed: TypeError: batch;"):
            match.rows()


def test_bad_input_is_one_sentence(folder):
    ends = command_line.run_all([command.split() for command, _ in BAD], folder)
    for (command, words), end in zip(BAD, ends, strict=True):
        assert (end.code, end.out) == (2, ""), (command, end.err)
        assert words in end.err and end.err.count("\n") == 1, (command, end.err)
