"""The suite of fresh processes: its pieces, and the whole with PyTorch played."""

import json
import sys

import jax
import numpy as np
import pytest

from experiments.comparisons import first_verdict, verdict_rows
from experiments.comparisons.peers import timed
from robust_jax import models
from tests.experiments import command_line, player

pytestmark = pytest.mark.xdist_group("experiments")

# Says what it was started with, after noise.
PROBE = """
import json, os, time
print("noise")
cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
names = "JAX_COMPILATION_CACHE_DIR", "PJRT_NPROC", "OMP_NUM_THREADS"
said = {name: os.environ.get(name) for name in names}
end = time.process_time() + 0.2
while time.process_time() < end: pass
print(json.dumps({**said, "cores": cores, "first_step": time.time()}))
time.sleep(0.2)
"""
# Breaks half of the images, at once.
PLAYER = """#!{python}
import json, sys, time
import numpy as np
assert sys.argv[1].endswith("first_verdict.py")
with np.load(sys.argv[2]) as file:
    assert file["eps"] == 0.05 and str(file["net"]) == "mlp"
    robust = len(file["images"]) // 2
versions = {{"torch": "8"}}
said = {{"robust": robust, "first_step": time.time(), "versions": versions}}
print(json.dumps(said))
"""


def test_a_process_tells_what_it_cost_and_has_one_thread_and_no_cache(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "somewhere")
    run = timed.run([sys.executable, "-c", PROBE])
    assert run["JAX_COMPILATION_CACHE_DIR"] is None
    assert (run["PJRT_NPROC"], run["OMP_NUM_THREADS"], run["cores"]) == ("1", "1", 1)
    assert 0.2 < run["cpu"] < run["wall"]
    assert 0.2 < run["first_step"] < run["wall"] - 0.15


def test_a_process_that_fails_is_one_sentence():
    with pytest.raises(ValueError, match="-c raise OSError.'gone'. failed: OSError: g"):
        timed.run([sys.executable, "-c", "raise OSError('gone')"])


@pytest.mark.parametrize(
    "module",
    [models.MLP(hidden=(7,), mean=(0.3,), std=(0.5,)), models.FastCNN(num_classes=4)],
    ids=["mlp", "fast_cnn"],
)
def test_the_problem_is_the_net_that_was_trained(module):
    variables = models.init(module, jax.random.key(0), (8, 8, 1))
    name = "mlp" if isinstance(module, models.MLP) else "fast_cnn"
    problem = verdict_rows.weights(name, module, variables)
    x = np.random.default_rng(0).uniform(size=(3, 8, 8, 1)).astype(np.float32)
    found = jax.vmap(first_verdict.net(problem))(x)
    expected = models.logits_fn(module, variables)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_rows_are_medians_and_ratios_to_pytorch():
    def run(cpu, robust, loaded):
        programs = {"traced": 5, "compiled": 2, "loaded": loaded}
        step = {"first_step": cpu / 2, "wall": 2 * cpu}
        return {"cpu": cpu, "robust": robust, "programs": programs, **step}

    theirs = [{"cpu": c, "wall": c, "robust": 4, "first_step": None} for c in (1, 4, 2)]
    runs = {"ours": [run(9, 3, 1), run(3, 4, 0), run(5, 3, 2)]}
    runs[verdict_rows.PEER] = theirs
    rows = [verdict_rows.row("mlp, 8", name, runs, 8) for name in runs]
    mine, peer = rows
    assert (mine["cpu"], mine["wall"], mine["first_step"]) == (5, 10, 2.5)
    assert mine["ratio"] == 2.5 and peer["ratio"] == 1
    assert mine["robust_accuracy"].successes == 3 and mine["all"] == runs["ours"]
    assert (mine["traced"], mine["compiled"], mine["loaded"]) == (5, 2, 2)
    assert peer["first_step"] is None and peer["traced"] is None
    alone = verdict_rows.row("mlp, 8", "ours", {"ours": runs["ours"]}, 8)
    assert alone["ratio"] is None


@pytest.mark.full
def test_the_suite_beside_a_played_peer_and_alone(tmp_path):
    player.set_up(tmp_path, PLAYER)
    options = "--suite=first_verdict --repetitions=1 --nets=mlp --plans=swift --count=8"
    command = ["comparisons.benchmark", *options.split(), "--epochs=1"]
    beside = [*command, f"--peers_python={tmp_path / 'python'}", "--out=beside"]
    ends = command_line.run_all(
        [beside, [*command, "--count=4", "--out=alone"]], tmp_path
    )
    assert [end.code for end in ends] == [0, 0], ends
    records = [
        json.loads((tmp_path / name / "record.json").read_text())
        for name in ("beside", "alone")
    ]
    empty, filled, peer = records[0]["rows"]
    assert empty["loaded"] == 0 and filled["compiled"] == 0
    assert filled["loaded"] == empty["compiled"] > 5
    assert filled["traced"] == empty["traced"] > 5
    assert empty["robust_accuracy"] == filled["robust_accuracy"]
    assert empty["ratio"] > filled["ratio"] > peer["ratio"] == 1
    assert 0 < filled["first_step"] < empty["first_step"] < empty["wall"]
    assert peer["robust_accuracy"]["successes"] == 4
    assert len(records[1]["rows"]) == 2 and "make peers" in records[1]["notes"][0]
