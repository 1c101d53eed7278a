"""Minimum-norm attacks on one net, compared by what they find. Used by experiments."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from robust_jax import evaluate, report, threats
from robust_jax.commands.shared import common, distance_plans, recording
from robust_jax.datasets import Dataset
from robust_jax.evaluate import Distances, NearestPlan, stages

if TYPE_CHECKING:
    from robust_jax.commands.shared.subjects import Subject  # Defines flags.

COLUMNS = (
    report.Column("attack", "attack"),
    report.Column("median", "median distance [95 %]"),
    report.Column("area", "area", report.fixed(4)),
    report.Column("optimality", "optimality", report.fixed(4)),
    report.Column("success", "success [95 %]"),
    report.Column("forwards", "forwards", report.fixed(0)),
    report.Column("backwards", "backwards", report.fixed(0)),
    report.Column("seconds", "seconds", report.fixed(1)),
)
_POINTS = 60  # Radii of a curve.


def compare(
    run: recording.Run,
    names: Sequence[str],
    preset: str,
    norm: str,
    subject: "Subject",
) -> None:
    """Runs attacks in turn, prints their table, draws their curves, saves the run."""
    found, data = {}, subject.data
    for plan in distance_plans.named(norm, names, preset):
        one = measured(plan, subject.model, data, norm)
        found[plan.name] = one
        if not one.claims.passed:
            run.notes.append(f"{plan.name}: {one.claims}")
    run.rows = table(found)
    print(report.for_terminal(run.rows, COLUMNS))
    draw(run, found, norm)
    subject.note_in(run)
    run.save(
        f"Distances from {subject.name}",
        f"{common.described(data)}, n = {len(data)}, {norm}, preset {preset}. "
        "Distances, forwards and backwards are of the images that the net gets right.",
        COLUMNS,
    )


def measured(plan: NearestPlan, logits_fn: Any, data: Dataset, norm: str) -> Distances:
    """What one attack finds on all examples, compiled by a first call on one."""
    threat = threats.by_name(norm)(np.inf)

    def found(part: Dataset, on_items: Any = lambda n: None) -> Distances:
        images, labels = part.pixels(), part.labels
        return evaluate.distances(
            logits_fn,
            images,
            labels,
            threat,
            plan,
            ids=part.ids,
            seed=common.SEED.value,
            on_items=on_items,
        )

    found(data.take(np.arange(1)))
    items = len(data) * stages.work_items(plan.stages, data.num_classes)
    with common.counted(items, plan.name, "item") as bar:
        return found(data, bar.update)


def table(found: Mapping[str, Distances]) -> list[dict[str, Any]]:
    """A row per attack, the most optimal first."""
    sizes = {name: one.distance for name, one in found.items()}
    optimal, up_to = evaluate.optimality(sizes), evaluate.last_radius(sizes)
    rows = [{**one.row(up_to), "optimality": optimal[name], "attack": name}
            for name, one in found.items()]  # fmt: skip
    return sorted(rows, key=lambda row: -row["optimality"])


def draw(run: recording.Run, found: Mapping[str, Distances], norm: str) -> None:
    """Robust accuracy against the radius, a line per attack."""
    sizes = {name: one.distance for name, one in found.items()}
    radii = np.linspace(0, evaluate.last_radius(sizes), _POINTS)
    series = {name: _series(one, radii) for name, one in found.items()}
    run.series = {"curves": series, "distances": sizes}
    if not run.can_draw():
        return
    title = "Robust accuracy against the radius, by attack"
    path = run.figure("curves", title, "Lower is stronger; bands are 95 %.")
    report.figures.robustness_curves(path, series, title, f"{norm} radius")


def _series(one: Distances, radii: np.ndarray) -> dict[str, list[float]]:
    points = [one.accuracy(float(r)) for r in radii]
    return {
        "eps": [float(r) for r in radii],
        "accuracy": [p.value for p in points],
        "low": [p.interval[0] for p in points],
        "high": [p.interval[1] for p in points],
    }
