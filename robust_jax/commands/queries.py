"""How many queries does a black-box attack need? Robust accuracy against queries.

    robust-jax queries --checkpoint=out/train/model.safetensors \
        --norm=linf --eps=0.1 --count=100 --queries=10000

Every attack of the catalog without gradients attacks the same images, until its first
success within eps; Square, Sparse-RS and GeoDA plan for the whole budget. Queries are
forwards beside that of the clean image. A white-box attack shows what is left.
"""

from typing import Any

import numpy as np
from absl import flags

from robust_jax import attacks, evaluate, report
from robust_jax.attacks import Entry
from robust_jax.commands.shared import (
    adversary,
    common,
    one_attack,
    recording,
    subjects,
)
from robust_jax.core import checks
from robust_jax.core.metrics import Proportion, median
from robust_jax.core.types import Threat

for _module in (common, subjects, adversary):
    flags.adopt_module_key_flags(_module)

_COUNT = flags.DEFINE_integer("count", 100, "The first so many test images.")
_QUERIES = flags.DEFINE_integer("queries", 10_000, "At most, for an image.")
_ATTACKS = flags.DEFINE_list("attacks", None, "Names; default: all that fit.")

_WHITE_BOX = {
    "linf": "apgd_t",
    "l2": "apgd_t",
    "l1": "apgd_l1_t",
    "l0": "sigma_zero",
    "patch": "bim",
}
_SHOWN = (100, 1_000, 10_000)  # Of the table, as far as the budget goes.
_POINTS = 200  # Of a curve, evenly in the logarithm.


def main(argv: list[str]) -> None:
    """Runs every attack, prints the table, draws the curves."""
    adversary.threat()  # Bad flags, before anything is loaded.
    checks.positive_integer("queries", _QUERIES.value)
    entries, budget = _entries(), _QUERIES.value
    made = {entry: entry.of_queries(budget) for entry in entries}
    subject = subjects.given(count=_COUNT.value)
    threat = adversary.threat_on(subject.data)
    run = recording.Run("queries")
    curves: dict[str, Any] = {}
    for entry, attack in made.items():
        found = one_attack.attacked(entry, attack, subject, threat)
        used = np.where(found.clean, found.stages[0].forwards, 0)
        needed = np.where(found.stages[0].broken | ~found.clean, used, np.inf)
        run.rows.append(_row(entry, found, needed, budget))
        curves[entry.name] = _curve(needed, budget)
        if not found.claims.passed:
            run.notes.append(f"{entry.name}: {found.claims}")
    run.notes.append(_white_box(subject, threat))
    _save(run, curves, subject)


def _row(
    entry: Entry, found: evaluate.Report, needed: np.ndarray, budget: int
) -> dict[str, Any]:
    """A row of the table: robust accuracy at some budgets, and how many it took."""
    won = np.isfinite(needed) & found.clean
    shown = {f"at_{q}": _left(needed, q) for q in _SHOWN if q <= budget}
    return {
        "attack": entry.name,
        "sees": entry.sees,
        "n": len(needed),
        **shown,
        "accuracy": _left(needed, budget),
        "median": float(median(needed[won]).value) if won.any() else None,
        "mean": float(found.stages[0].forwards.sum() / max(1, found.clean.sum())),
        "seconds": found.stages[0].seconds,
        "paper": entry.paper,
    }


def _left(needed: np.ndarray, queries: int) -> Proportion:
    return Proportion(int((needed > queries).sum()), len(needed))


def _curve(needed: np.ndarray, budget: int) -> dict[str, list[float]]:
    budgets = np.unique(np.geomspace(1, budget, _POINTS).astype(int))
    left = [_left(needed, int(q)).value for q in budgets]
    return {"queries": budgets.tolist(), "robust_accuracy": left}


def _white_box(subject: subjects.Subject, threat: Threat) -> str:
    entry = attacks.by_name(_WHITE_BOX[adversary.NORM.value])
    found = one_attack.attacked(entry, entry.make(), subject, threat)
    return (
        f"{entry.name}, which sees gradients, leaves {found.robust_accuracy} of clean "
        f"{found.clean_accuracy}."
    )


def _save(
    run: recording.Run, curves: dict[str, Any], subject: subjects.Subject
) -> None:
    budgets = [q for q in _SHOWN if q <= _QUERIES.value]
    columns = (
        report.Column("attack", "attack"),
        report.Column("sees", "sees"),
        report.Column("n", "n"),
        *(report.Column(f"at_{q}", f"robust at {q:,} queries") for q in budgets[:-1]),
        report.Column("accuracy", f"robust at {_QUERIES.value:,} [95 %]"),
        report.Column("median", "queries of a success, median", report.fixed(0)),
        report.Column("mean", "queries, mean", report.fixed(0)),
        report.Column("seconds", "seconds", report.fixed(1)),
        report.Column("paper", "paper"),
    )
    run.series = {"curves": curves}
    subject.note_in(run)
    run.show(columns)
    title = f"Black-box attacks on {subject.name}"
    what = f"{common.described(subject.data)}, n = {len(subject.data)}"
    caption = f"{what}, {adversary.described()}; until the first success."
    _draw(run, curves, title, caption)
    run.save(title, caption, columns)


def _draw(run, curves, title, caption):
    if not run.can_draw():
        return
    lines = {
        name: (line["queries"], [100 * y for y in line["robust_accuracy"]])
        for name, line in curves.items()
    }
    path = run.figure("queries", "Robust accuracy against queries", caption)
    report.plots.curves(path, lines, title, "queries", "accuracy [%]", log_x=True)


def _entries() -> tuple[Entry, ...]:
    norm = adversary.NORM.value
    able = {e.name: e for e in attacks.list() if norm in e.norms and not e.per_step[1]}
    for name in _ATTACKS.value or ():
        checks.known_name(f"attack without gradients for {norm}", name, able)
    if _ATTACKS.value:
        return tuple(able[name] for name in _ATTACKS.value)
    return tuple(e for e in able.values() if 2 * e.per_step[0] <= _QUERIES.value)
