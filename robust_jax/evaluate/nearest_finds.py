"""What minimum-norm attacks find nearest, made nearer and looked at again (host)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from robust_jax.evaluate.batch import run_on
from robust_jax.evaluate.claims import Claims, confirm
from robust_jax.evaluate.nearest_plans import NearestPlan
from robust_jax.evaluate.polish import Part, polished, refined
from robust_jax.evaluate.stages import goals_of


class Find(NamedTuple):
    """The nearest adversarial points that some attacks found."""

    distance: np.ndarray  # [M], inf: none
    x_adv: np.ndarray  # [M, *S]


def found_by(
    plan: NearestPlan, part: Part, seed: int, tile: int, on_items: Callable[[int], None]
) -> tuple[list[Find], np.ndarray]:
    """Of each restart of each stage the nearest find; forwards and backwards, [2]."""
    finds, calls, x = [], np.zeros(2), part.of.images
    for stage in plan.stages:
        for restart in range(stage.restarts):
            best, rows = Find(np.full(len(x), np.inf), x.copy()), np.arange(len(x))
            finds.append(best)
            goals = goals_of(stage, part.of.labels, part.of.logits) if len(x) else ()
            for target, goal in enumerate(goals):
                made = run_on(
                    stage.attack, part.of.ids, part.model, part.threat, x, goal,
                    seed=seed, target=target, restart=restart, to_the_end=True,
                    tile=tile, on_tile=on_items,
                )  # fmt: skip
                calls += made.forwards.sum(), made.backwards.sum()
                size = np.where(made.margin >= 0, made.distance, np.inf)
                _keep_nearer(best, rows, size, made.x_adv)
    return finds, calls


def nearest_of(finds: list[Find]) -> Find:
    """Of each example the nearest of all finds, the first one if they tie."""
    best = Find(finds[0].distance.copy(), finds[0].x_adv.copy())
    for find in finds[1:]:
        _keep_nearer(best, np.arange(len(best.distance)), *find)
    return best


def _keep_nearer(best: Find, rows: np.ndarray, distance: Any, x_adv: Any) -> None:
    nearer = np.asarray(distance < best.distance[rows])
    best.distance[rows[nearer]] = np.asarray(distance)[nearer]
    best.x_adv[rows[nearer]] = np.asarray(x_adv)[nearer]


def made_nearer(
    plan: NearestPlan, part: Part, best: Find, finds: list[Find], seed: int, tile: int
) -> tuple[np.ndarray, np.ndarray]:
    """The finds refined and polished, [M, *S]; forwards and backwards of all, [2]."""
    nearer, calls = Find(best.distance.copy(), best.x_adv.copy()), np.zeros(2)
    x_adv = nearer.x_adv
    for find in finds if plan.refine_each else [best]:
        rows = np.flatnonzero(np.isfinite(find.distance))
        if plan.refine is None or len(rows) == 0:
            continue
        more = refined(plan.refine, part.take(rows), find.x_adv[rows], seed, tile)
        calls += more.forwards.sum() + len(rows), more.backwards.sum()
        size = np.where(more.margin >= 0, more.distance, np.inf)
        _keep_nearer(nearer, rows, size, more.x_adv)
    rows = np.flatnonzero(np.isfinite(best.distance))
    if plan.polish and len(rows):
        x_adv[rows], each = polished(part.take(rows), x_adv[rows], plan.polish, tile)
        calls += each * len(rows)
    return x_adv, calls


def held(
    part: Part, best: np.ndarray, x_adv: np.ndarray, nearer: np.ndarray
) -> tuple[np.ndarray, Claims]:
    """As `looked_at`, of the nearer points; of the finds where a fresh look is right.

    Polish goes so near the boundary that another batch layout may see the other side.
    The nearer points that do not hold are replaced in place.
    """
    found = np.isfinite(best)
    seen, claims = looked_at(part, nearer, found)
    lost = found & np.isinf(seen)
    lost[np.flatnonzero(found)[claims.unconfirmed]] = True
    if lost.any():
        nearer[lost] = x_adv[lost]
        seen, claims = looked_at(part, nearer, found)
    return seen, claims


def looked_at(
    part: Part, x_adv: np.ndarray, found: np.ndarray
) -> tuple[np.ndarray, Claims]:
    """Distances in float64 of what holds under an independent look, inf elsewhere.

    A claim that the fresh forward pass gets right counts only where rounding decides.

    Args:
        found: shape [M] bool, of which examples something is claimed.
    """
    rows = np.flatnonzero(found)
    some = part.take(rows)
    given = some.of.images, x_adv[rows], some.of.labels
    looked = confirm(some.model, some.threat, *given)
    distance = np.full(len(found), np.inf)
    distance[rows] = looked.size
    wrong = np.union1d(looked.outside, looked.refuted)
    distance[rows[wrong]] = np.inf
    return distance, looked
