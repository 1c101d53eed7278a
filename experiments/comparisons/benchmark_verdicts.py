"""The suite `first_verdict` of `benchmark`: its flags and problems."""

import os
import pathlib
import tempfile
from typing import Any

import numpy as np
from absl import flags

from experiments.comparisons import verdict_rows
from experiments.comparisons.peers import child
from experiments.comparisons.verdict_rows import Row
from robust_jax import report, train
from robust_jax.commands.shared import common, numbers
from robust_jax.core import array_checks, checks
from robust_jax.evaluate import plans

_PLANS = flags.DEFINE_list(
    "plans", ["swift", "swift+audit", "standard"], "Ours, of first_verdict."
)
_NETS = flags.DEFINE_list("nets", ["mlp", "fast_cnn"], "Of first_verdict.")
_COUNT = flags.DEFINE_integer("count", None, "Digits; default 64, of the CNN 100.")
_EPOCHS = flags.DEFINE_integer("epochs", 20, "Of plain training, of first_verdict.")
_EPS = numbers.DEFINE_number("eps", 0.05, "Linf, of first_verdict.")

_SIZES = {"mlp": 64, "fast_cnn": 100}
_CONFIG: dict[str, dict[str, Any]] = {"mlp": {"hidden": (64,)}, "fast_cnn": {}}


def check() -> None:
    """Raises ValueError for a flag that the suite cannot use."""
    for flag, names in (("nets", _NETS.value), ("plans", _PLANS.value)):
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"{flag}={','.join(names)}; expected one name or more, each once"
            )
    for name in _NETS.value:
        checks.known_name("net", name, _SIZES)
    for name in _PLANS.value:
        plan, _, extra = name.partition("+")
        plans.by_name(plan, "linf")
        if extra not in ("", "audit"):
            raise ValueError(f"plans={name!r}; expected a plan's name, or name+audit")
    array_checks.eps("linf", _EPS.value)
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
            done = [
                verdict_rows.turn(problem, _PLANS.value, peer)
                for _ in report.progress(turns, name, "turn")
            ]
        runs = {variant: [turn[variant] for turn in done] for variant in done[0]}
        if verdict_rows.PEER in runs:
            versions = runs[verdict_rows.PEER][0]["versions"]
            said = ", ".join(f"{library} {v}" for library, v in versions.items())
            notes.append(f"{name}: {said}; load at the end {os.getloadavg()[0]:.1f}.")
        found += [verdict_rows.row(f"{name}, {count}", v, runs, count) for v in runs]
    return found


def _pose(name: str, path: pathlib.Path) -> int:
    """Trains the net, writes the problem of both sides; gives the number of images."""
    test = common.load("digits", "test", _COUNT.value or _SIZES[name])
    changes = {"model": name, "epochs": _EPOCHS.value}
    changes |= {f"model_config.{k}": v for k, v in _CONFIG[name].items()}
    recipe = train.recipe("digits", changes)
    sets = (common.load("digits", split) for split in ("train", "validation"))
    trained = train.fit(recipe, *sets, seed=common.SEED.value)
    problem: dict[str, Any] = {"images": test.pixels(), "labels": test.labels}
    problem |= verdict_rows.weights(name, trained.module, trained.variables)
    np.savez(path, eps=_EPS.value, **problem)
    return len(test)
