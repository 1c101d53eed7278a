"""Rows of `benchmark --suite=first_verdict`: whole processes, in turn.

Each run is a fresh process on one core that imports, reads a problem, evaluates and
ends. Its CPU-seconds, user and system, are what a busy machine distorts least.
"""

import json
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.comparisons.peers import timed
from robust_jax import report
from robust_jax.core.metrics import Proportion

Row = dict[str, Any]

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
PEER = "PyTorch, AutoAttack standard"
_PEERS_PROGRAM = pathlib.Path(timed.__file__).parent / "served" / "first_verdict.py"


def weights(name: str, module: Any, variables: Any) -> dict[str, Any]:
    """The net's part of a problem, as both sides read it."""
    part: dict[str, Any] = {"net": np.asarray(name)}
    part |= {field: np.float32(getattr(module, field)) for field in ("mean", "std")}
    for layer, fields in variables["params"].items():
        part |= {f"{layer}/{field}": np.asarray(v) for field, v in fields.items()}
    return part


def turn(
    problem: pathlib.Path, names: Sequence[str], peer: str | None
) -> dict[str, Row]:
    """One run of each kind; a process with a filled cache has another's before it.

    Args:
        problem: file that both sides read.
        names: of our plans, "+audit" for those with the audit.
        peer: interpreter of PyTorch's side, if there is one.
    """
    runs = {}
    for name in names:
        plan, _, audit = name.partition("+")
        with tempfile.TemporaryDirectory() as cache:
            request = {"plan": plan, "audit": bool(audit), "cache": cache}
            program = [sys.executable, "-m", "experiments.comparisons.first_verdict"]
            command = [*program, str(problem), json.dumps(request)]
            for state in ("empty", "filled"):
                runs[f"{name}, {state} cache"] = timed.run(command)
    if peer is not None:
        runs[PEER] = timed.run([peer, str(_PEERS_PROGRAM), str(problem)])
    return runs


def row(group: str, variant: str, runs: dict[str, list[Row]], count: int) -> Row:
    """A line of the table: medians over the runs of a variant, beside the peer's."""
    own, theirs = runs[variant], runs.get(PEER)
    found: Row = {"group": group, "variant": variant, "all": own}
    for name in ("cpu", "wall"):
        found[name] = statistics.median(run[name] for run in own)
    steps = [run["first_step"] for run in own if run["first_step"] is not None]
    found["first_step"] = statistics.median(steps) if steps else None
    programs = own[-1].get("programs", {})
    found |= {kind: programs.get(kind) for kind in ("traced", "compiled", "loaded")}
    robust = statistics.median_low(run["robust"] for run in own)
    found["robust_accuracy"] = Proportion(robust, count)
    base = statistics.median(run["cpu"] for run in theirs) if theirs else None
    found["ratio"] = None if base is None else found["cpu"] / base
    return found
