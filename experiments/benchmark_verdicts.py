"""The suite `first_verdict` of `experiments.benchmark`: whole processes, in turn.

Each run is a fresh process on one core that imports, reads a problem, evaluates and
ends. Its CPU-seconds, user and system, are what a busy machine distorts least.
"""

import json
import pathlib
import statistics
import sys
import tempfile
from typing import Any

import numpy as np
from absl import flags

from experiments import common
from experiments.peers import child, timed
from robust_jax import report, train
from robust_jax.core import checks
from robust_jax.core.metrics import Proportion
from robust_jax.evaluate import plans

_PLANS = flags.DEFINE_list(
    "plans", ["swift", "swift+audit", "standard"], "Ours, of first_verdict."
)
_NETS = flags.DEFINE_list("nets", ["mlp", "fast_cnn"], "Of first_verdict.")
_COUNT = flags.DEFINE_integer("count", None, "Digits; default 64, of the CNN 100.")
_EPOCHS = flags.DEFINE_integer("epochs", 20, "Of plain training, of first_verdict.")
_EPS = flags.DEFINE_float("eps", 0.05, "Linf, of first_verdict.")

COLUMNS = (
    report.Column("group", "net, digits"),
    report.Column("variant", "process"),
    report.Column("cpu", "CPU [s]", report.fixed(1)),
    report.Column("ratio", "to PyTorch's", report.fixed(2)),
    report.Column("wall", "wall [s]", report.fixed(1)),
    report.Column("first_step", "first step [s]", report.fixed(1)),
    report.Column("traced", "traced"),
    report.Column("compiled", "compiled"),
    report.Column("loaded", "loaded"),
    report.Column("robust_accuracy", "robust [95 %]"),
)
_PEER = "PyTorch, AutoAttack standard"
_PEERS_PROGRAM = pathlib.Path(timed.__file__).parent / "served" / "first_verdict.py"
_SIZES = {"mlp": 64, "fast_cnn": 100}
_CONFIG: dict[str, dict[str, Any]] = {"mlp": {"hidden": (64,)}, "fast_cnn": {}}

Row = dict[str, Any]


def check() -> None:
    """Raises ValueError for a flag that the suite cannot use."""
    for name in _NETS.value:
        checks.known_name("net", name, _SIZES)
    for name in _PLANS.value:
        plan, _, extra = name.partition("+")
        plans.by_name(plan, "linf")
        if extra not in ("", "audit"):
            raise ValueError(f"plans={name!r}; expected a plan's name, or name+audit")
    checks.eps("linf", _EPS.value)
    checks.positive_integer("epochs", _EPOCHS.value)


def rows(python: str, repetitions: int, notes: list[str]) -> list[Row]:
    """A row per net and kind of process; without the peer's interpreter ours alone."""
    peer: str | None = python
    try:
        child.check_installed(python)
    except FileNotFoundError as error:
        notes.append(f"Ours alone: {error}, for PyTorch's rows.")
        peer = None
    found: list[Row] = []
    for name in _NETS.value:
        with tempfile.TemporaryDirectory() as folder:
            problem = pathlib.Path(folder) / "problem.npz"
            count = _pose(name, problem)
            turns = range(repetitions)
            done = [_turn(problem, peer) for _ in report.progress(turns, name, "turn")]
        runs = {variant: [turn[variant] for turn in done] for variant in done[0]}
        found += [_row(f"{name}, {count}", v, runs, count) for v in runs]
    return found


def _pose(name: str, path: pathlib.Path) -> int:
    """Trains the net, writes the problem of both sides; gives the number of images."""
    test = common.load("digits", "test", _COUNT.value or _SIZES[name])
    changes = {"model": name, "epochs": _EPOCHS.value}
    changes |= {f"model_config.{k}": v for k, v in _CONFIG[name].items()}
    recipe = train.recipe("digits", changes)
    sets = (common.load("digits", split) for split in ("train", "validation"))
    trained = train.fit(recipe, *sets, seed=common.SEED.value)
    module: Any = trained.module
    problem: dict[str, Any] = {"net": name, "eps": _EPS.value}
    problem |= {"images": test.pixels(), "labels": test.labels}
    problem |= {"mean": np.float32(module.mean), "std": np.float32(module.std)}
    for layer, fields in trained.variables["params"].items():
        problem |= {f"{layer}/{field}": np.asarray(v) for field, v in fields.items()}
    np.savez(path, **problem)
    return len(test)


def _turn(problem: pathlib.Path, peer: str | None) -> dict[str, Row]:
    """One run of each kind; a process with a filled cache has another's before it."""
    runs = {}
    for name in _PLANS.value:
        plan, _, audit = name.partition("+")
        with tempfile.TemporaryDirectory() as cache:
            request = {"plan": plan, "audit": bool(audit), "cache": cache}
            program = [sys.executable, "-m", "experiments.first_verdict"]
            command = [*program, str(problem), json.dumps(request)]
            for state in ("empty", "filled"):
                runs[f"{name}, {state} cache"] = timed.run(command)
    if peer is not None:
        runs[_PEER] = timed.run([peer, str(_PEERS_PROGRAM), str(problem)])
    return runs


def _row(group: str, variant: str, runs: dict[str, list[Row]], count: int) -> Row:
    own, theirs = runs[variant], runs.get(_PEER)
    row = {"group": group, "variant": variant, "all": own}
    for name in ("cpu", "wall"):
        row[name] = statistics.median(run[name] for run in own)
    steps = [run["first_step"] for run in own if run["first_step"] is not None]
    row["first_step"] = statistics.median(steps) if steps else None
    if "programs" in own[0]:
        kinds = ("traced", "compiled", "loaded")
        row |= {kind: own[-1]["programs"][kind] for kind in kinds}
    robust = statistics.median_low(run["robust"] for run in own)
    row["robust_accuracy"] = Proportion(robust, count)
    if theirs is not None:
        base = statistics.median(run["cpu"] for run in theirs)
        row["ratio"] = row["cpu"] / base
    return row
