"""Clean and robust accuracy of a model under a plan of attacks (host)."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from robust_jax.core import checks, drive, lift
from robust_jax.core.ids import example_ids
from robust_jax.core.types import AttackResult, Goal, Key, LogitsFn
from robust_jax.evaluate.claims import confirm, predict
from robust_jax.evaluate.report import Report, StageResult
from robust_jax.evaluate.stages import Plan, Stage, basic

OnItems = Callable[[int], None]


@dataclasses.dataclass(frozen=True)
class Examples:
    """Checked examples of an evaluation, on the host."""

    images: np.ndarray  # [N, *S] float32, inside the box
    labels: np.ndarray  # [N] int32
    ids: np.ndarray  # [N] uint64
    logits: np.ndarray  # [N, K] clean logits

    @property
    def right(self) -> np.ndarray:
        """Whether the clean margin is below zero, [N]: a tie is lost."""
        own = np.take_along_axis(self.logits, self.labels[:, None], axis=1)
        is_own = np.arange(self.logits.shape[1]) == self.labels[:, None]
        others = np.where(is_own, -np.inf, self.logits).max(axis=1)
        return others < own[:, 0]


def robustness(
    model: LogitsFn,
    images: Any,
    labels: Any,
    threat: Any,
    *,
    plan: Plan | None = None,
    ids: Any = None,
    seed: int = 0,
    tile: int = lift.TILE,
    retire: bool = True,
    name: str = "model",
    on_items: OnItems = lambda n: None,
) -> Report:
    """Clean and robust accuracy, every adversarial example audited.

    Guarantees: the same flags and bytes for any order, subset or batch of examples;
    robust accuracy <= clean accuracy; new weights and radii do not compile again.
    Edge cases: an example that the model gets wrong counts as broken, unattacked;
    non-finite logits at an adversarial iterate count as broken and are named.

    Args:
        model: function of one example, [*S] -> [K] logits, K >= 2; bind weights with
            `jax.tree_util.Partial(apply, variables)` so that new ones do not compile.
        images: shape [N, *S], floats inside the threat's box.
        labels: shape [N], integers in [0, K).
        threat: such as `threats.Linf(8 / 255)`.
        plan: stages in the order in which they run; `stages.basic()` by default.
        ids: one integer per example, shape [N]; a hash of image and label by default.
        seed: of all random draws, together with the ids.
        tile: slots of a device program.
        retire: an example that one stage broke is spared by the next ones; if False
            every stage attacks every example that the model gets right.
        name: of the model, for the report.
        on_items: called with the number of work items that were finished.
    Raises: ValueError: bad images, labels, radius or model, in one sentence.
    """
    plan = basic() if plan is None else plan
    examples = checked(model, images, labels, threat, ids, tile)
    run = _StageRunner(model, threat, examples, seed, tile, on_items)
    x_adv = examples.images.copy()
    winner = np.where(examples.right, -1, -2)
    results = []
    for place, stage in enumerate(plan):
        start = time.perf_counter()
        attacked = np.flatnonzero(winner == -1 if retire else examples.right)
        found, cost = run(place, stage, attacked)
        broken = ~examples.right
        broken[list(found)] = True
        if retire:
            broken |= winner != -1
        for position, example in found.items():
            if winner[position] == -1:
                winner[position], x_adv[position] = place, example
        seconds = time.perf_counter() - start
        results.append(StageResult(stage.name, broken, *cost, seconds))
    lost = np.flatnonzero(winner >= 0)
    claims = (examples.images[lost], x_adv[lost], examples.labels[lost])
    return Report(
        model=name,
        threat=describe(threat),
        clean=examples.right,
        stages=tuple(results),
        x_adv=x_adv,
        winner=winner,
        ids=examples.ids,
        claims=confirm(model, lift.threat_of(threat, examples.images, lost), *claims),
        seed=seed,
        tile=tile,
    )


def checked(
    model: LogitsFn, images: Any, labels: Any, threat: Any, ids: Any, tile: int
) -> Examples:
    """The examples with their clean logits, or one sentence on what is wrong.

    Raises: ValueError: see `core.checks`.
    """
    checks.positive_integer("tile", tile)
    checks.eps(threat.name, threat.eps)
    checks.images(images, lower=threat.lower, upper=threat.upper)
    images = np.asarray(images, np.float32)
    if np.shape(threat.eps) not in ((), (len(images),)):
        raise ValueError(
            f"eps.shape={np.shape(threat.eps)}; expected one radius, or one per image: "
            f"({len(images)},)"
        )
    logits = predict(model, images, tile)
    checks.clean_logits(logits)
    checks.labels(labels, len(images), logits.shape[1])
    labels = np.asarray(labels, np.int32)
    names = example_ids(images, labels) if ids is None else np.asarray(ids, np.uint64)
    if names.shape != labels.shape:
        raise ValueError(f"ids.shape={names.shape}; expected {labels.shape}, one each")
    return Examples(images, labels, names, logits)


def describe(threat: Any) -> str:
    """The threat in words: norm and radius."""
    radii = np.unique(np.asarray(threat.eps, np.float64))
    if len(radii) == 1:
        return f"{threat.name} eps={radii[0]:.4g}"
    return f"{threat.name} eps={radii[0]:.4g} to {radii[-1]:.4g}"


class _StageRunner:
    """Runs one stage as waves of work items: one goal and restart of all survivors."""

    def __init__(
        self,
        model: LogitsFn,
        threat: Any,
        examples: Examples,
        seed: int,
        tile: int,
        on_items: OnItems,
    ) -> None:
        self.model, self.threat, self.examples = model, threat, examples
        self.seed, self.tile, self.on_items = seed, tile, on_items

    def __call__(
        self, place: int, stage: Stage, attacked: np.ndarray
    ) -> tuple[dict[int, np.ndarray], tuple[int, int]]:
        """What was found, by position, and the forwards and backwards spent."""
        found: dict[int, np.ndarray] = {}
        examples, cost = self.examples, np.zeros(2, np.int64)
        goals = stage.goals(examples.labels, examples.logits)
        for target, goal in enumerate(goals):
            for restart in range(stage.restarts):
                left = np.array([p for p in attacked if p not in found], np.int64)
                self.on_items(len(examples.labels) - len(left))  # Spared ones.
                if len(left) == 0:
                    continue
                names = {"stage": place, "target": target, "restart": restart}
                keys = lift.item_keys(self.seed, examples.ids[left], **names)
                result = self._attack(stage, keys, goal, left)
                cost += [result.forwards.sum(), result.backwards.sum()]
                for won in np.flatnonzero(result.margin >= 0):
                    found[int(left[won])] = np.asarray(result.x_adv[won])
        return found, (int(cost[0]), int(cost[1]))

    def _attack(
        self, stage: Stage, keys: Key, goal: Goal, left: np.ndarray
    ) -> AttackResult:
        run = lift.in_tiles(
            drive.auto(stage.attack), tile=self.tile, on_tile=self.on_items
        )
        goal = type(goal)(*(np.asarray(field)[left] for field in goal))
        images = self.examples.images
        threat = lift.threat_of(self.threat, images, left)
        return run(keys, self.model, threat, images[left], goal)
