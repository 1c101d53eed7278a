"""How small a perturbation suffices? What minimum-norm attacks find.

An attack is as good as its distances are small: their median, the area under the curve
of robust accuracy against the radius, and how much of the gap to the best of several
attacks it leaves (AttackBench's optimality).
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from robust_jax import attacks
from robust_jax.core import boxes, checks, facts, lift, records
from robust_jax.core.brief import brief
from robust_jax.core.compiling import own_settings
from robust_jax.core.factories import Product
from robust_jax.core.metrics import Median, Proportion, median
from robust_jax.core.types import Attack, LogitsFn, ParametricThreat, Threat
from robust_jax.evaluate.bars import nobody, told
from robust_jax.evaluate.claims import Claims
from robust_jax.evaluate.examples import checked
from robust_jax.evaluate.nearest_finds import found_by, held, made_nearer, nearest_of
from robust_jax.evaluate.nearest_plans import NearestPlan, nearest
from robust_jax.evaluate.polish import Part
from robust_jax.evaluate.stages import Stage, likeliest_targets, untargeted, work_items
from robust_jax.report import markup


@dataclasses.dataclass(frozen=True)
class Distances:
    """The distance of the nearest adversarial point that was found, per example.

    `distance` is 0 where the model errs without an attack, inf where nothing was found.

    >>> given = net, images, labels, rj.threats.Linf(1.0)
    >>> found = rj.evaluate.distances(*given, rj.attacks.deepfool())
    >>> found.success.value, found.accuracy(eps=0.15).value
    (1.0, 0.667)
    """

    name: str
    norm: str
    distance: np.ndarray  # [N] float64, in the norm's units
    clean: np.ndarray  # [N] bool, right without an attack
    forwards: float  # per attacked example, the mean
    backwards: float
    seconds: float
    x_adv: np.ndarray  # [N, *S], x where nothing was found
    claims: Claims
    seed: int | None = None

    __repr__ = brief

    def to_record(self) -> records.Record:
        """The record of it, for tables and figures."""
        largest = last_radius({self.name: self.distance})
        rows = [self.row(largest)] if self.clean.any() else []
        median = self.median if rows else "unknown"
        return records.Record(
            schema=records.SCHEMA,
            experiment="distances",
            title=f"Distances that {self.name} finds",
            summary=f"Median {self.norm} distance {median}.",
            command="called from Python: robust_jax.evaluate.distances, see the flags",
            flags={"plan": self.name, "norm": self.norm, "seed": self.seed},
            environment=records.environment(),
            rows=rows,
            series={"distances": {self.name: self.distance}},
            notes=[str(self.claims)],
            figures=[],
            seconds=self.seconds,
        )

    def _repr_html_(self) -> str:
        largest = last_radius({self.name: self.distance})
        verdict = f"Median {self.norm} distance {self.median}"
        if not self.clean.any():
            verdict = "No example that the model gets right"
        rows = [self.row(largest)] if self.clean.any() else []
        return markup.notebook(verdict, rows, lines=[f"Claims: {self.claims}"])

    @property
    def success(self) -> Proportion:
        """Of the examples that the model gets right, how many were broken."""
        found = np.isfinite(self.distance) & self.clean
        return Proportion(int(found.sum()), max(int(self.clean.sum()), 1))

    @property
    def median(self) -> Median:
        """Of the examples that the model gets right."""
        return median(self.distance[self.clean])

    def accuracy(self, eps: float) -> Proportion:
        """Robust accuracy at a radius, as far as this attack knows."""
        return Proportion(int((self.distance > eps).sum()), len(self.distance))

    def area(self, up_to: float) -> float:
        """The area under robust accuracy against the radius, from 0 to `up_to`."""
        return float(np.minimum(self.distance, up_to).mean())

    def row(self, up_to: float) -> dict[str, Any]:
        """The cells of a table of attacks."""
        return {
            "attack": self.name,
            "norm": self.norm,
            "n": int(self.clean.sum()),
            "median": self.median,
            "area": self.area(up_to),
            "success": self.success,
            "forwards": self.forwards,
            "backwards": self.backwards,
            "seconds": self.seconds,
        }


@own_settings()
def distances(
    model: LogitsFn,
    images: Any,
    labels: Any,
    threat: Threat,
    plan: Stage | NearestPlan | Attack | str | None = None,
    *,
    ids: Any = None,
    seed: int = 0,
    tile: int = lift.TILE,
    on_items: Callable[[int], None] = nobody,
    progress: bool | None = None,
) -> Distances:
    """Runs minimum-norm attacks to their end on examples that the model gets right.

    Of several attacks, goals or restarts the nearest counts. What is claimed is looked
    at again, the distance in float64; a point outside the threat set does not count.
    Guarantees: the result does not depend on order, subset or batch.

    Args:
        model, images, labels, ids, seed, tile: as in `robustness`.
        threat: its eps is a cap, `inf` allowed.
        plan: `nearest` of the threat's norm by default, or a minimum-norm attack with
            goals and restarts; its `only` is not asked. An attack, or the name of one,
            is a stage by itself.
        on_items: called with the number of finished items.
        progress: whether a bar shows how far it is, if there is no `on_items`; by
            default on a terminal.
    Raises: ValueError: bad images, labels, radius or model, in one sentence.

    >>> given = net, images, labels, rj.threats.Linf(1.0)
    >>> found = rj.evaluate.distances(*given, "deepfool")
    >>> found.distance, found.median.value
    (array([0.102, 0.357, 0.204 ]), 0.204)
    """
    boxes.check_kind(threat)
    if not isinstance(plan, Stage | NearestPlan | None):
        plan = _stage_of(plan)
    checks.function("on_items", on_items)
    checks.optional_flag("progress", progress)
    _check_plan(plan, threat)
    net, examples, threat = checked(
        model, images, labels, threat, ids, seed, tile, cap=True
    )
    if plan is None:
        plan = nearest(threat.name, examples.logits.shape[1])
    whole = NearestPlan(plan.name, (plan,)) if isinstance(plan, Stage) else plan
    right = np.flatnonzero(examples.right)
    part = Part(net.logits_fn, threat, examples).take(right)
    start = time.perf_counter()
    items = len(right) * work_items(whole.stages, examples.logits.shape[1])
    with told(on_items, items, ("distances", "item"), progress) as tell:
        finds, calls = found_by(whole, part, seed, tile, tell)
    best = nearest_of(finds)
    nearer, spent = made_nearer(whole, part, best, finds, seed, tile)
    seconds = time.perf_counter() - start
    seen, claims = held(part, *best, nearer)
    distance, found = np.zeros(len(examples.labels)), examples.images.copy()
    distance[right] = seen
    found[right[np.isfinite(seen)]] = nearer[np.isfinite(seen)]
    calls += spent
    forwards, backwards = calls / max(len(right), 1)
    name = facts.noted(plan.name, whole.stages[0].attack, threat)
    return Distances(
        name, threat.name, distance, examples.right, forwards, backwards,
        seconds, net.outward(found), claims, seed,
    )  # fmt: skip


def _check_plan(plan: Stage | NearestPlan | None, threat: Threat) -> None:
    """Before anything is asked."""
    if isinstance(threat, ParametricThreat):
        raise ValueError(
            f"threat={type(threat).__name__} limits parameters; expected a norm, "
            "such as threats.L2(float('inf')): distances are those of pixels"
        )
    if plan is None:
        nearest(threat.name)  # A norm without a plan.
        return
    for stage in plan.stages if isinstance(plan, NearestPlan) else (plan,):
        facts.check_use(stage.attack, threat, finds=facts.NEAREST)


def _stage_of(plan: Any) -> Stage:
    """The stage of an attack, or of a name."""
    if isinstance(plan, str):
        entry = attacks.by_name(plan)
        several = likeliest_targets(entry.targets) if entry.targets > 1 else untargeted
        return Stage(plan, entry.make(), several)
    wanted = "a Stage, a minimum-norm attack, the name of one, or None"
    checks.instance("plan", plan, Attack | Product, wanted)
    return Stage(checks.shown(plan), plan)


def optimality(found: Mapping[str, np.ndarray]) -> dict[str, float]:
    """AttackBench's local optimality of each attack among several, in [0, 1].

    1 - (A - A*) / (A_0 - A*): A is the attack's area under robust accuracy against the
    radius, A* that of the best attack on each example, A_0 that of no attack; all up to
    the radius at which the best leave nothing that any of them found.
    Edge cases: where nothing was found, 0; where A* = A_0, 1.

    Args:
        found: by name, distances of the same examples, shape [N] each; 0 where the
            model errs without an attack, inf where nothing was found.
    References: Cina et al., "AttackBench", AAAI 2025. Differs from it in: examples that
        no attack broke do not move the last radius.

    >>> rj.evaluate.optimality({"a": np.array([0.1, 0.4]), "b": np.array([0.2, 0.2])})
    {'a': 1.0, 'b': 0.0}
    """
    best, last = np.min(list(found.values()), axis=0), last_radius(found)
    nothing = last * float((best > 0).mean())
    least = float(np.minimum(best, last).mean())
    if last == 0 or nothing == least:
        return dict.fromkeys(found, 0.0 if last == 0 else 1.0)
    return {
        name: 1 - (float(np.minimum(one, last).mean()) - least) / (nothing - least)
        for name, one in found.items()
    }


def last_radius(found: Mapping[str, np.ndarray]) -> float:
    """The largest of the least distances that several attacks found, 0 for none.

    >>> found = {"a": np.array([0.1, np.inf]), "b": np.array([0.2, 0.3])}
    >>> rj.evaluate.last_radius(found)
    0.3
    """
    best = np.min(list(found.values()), axis=0)
    return float(np.max(best[np.isfinite(best)], initial=0.0))
