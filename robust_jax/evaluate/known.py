"""What an evaluation knows of each example, and what a stage adds to it."""

from typing import NamedTuple

import numpy as np

from robust_jax.core import lift
from robust_jax.core.streams import OfPlan
from robust_jax.core.types import Threat, Towards
from robust_jax.evaluate.claims import Claims, confirm
from robust_jax.evaluate.engine import Examples, Ledger, Queue
from robust_jax.evaluate.identity import describe
from robust_jax.evaluate.model import Model, fresh_right
from robust_jax.evaluate.options import Run
from robust_jax.evaluate.results import HOLDS, WRONG, StageResult, Verdicts
from robust_jax.evaluate.stages import History, Plan, allowed, goals_of


class Judged(NamedTuple):
    """What an evaluation is of, checked."""

    model: Model
    examples: Examples
    threat: Threat
    plan: Plan
    seed: int
    options: Run  # how it runs


class Known:
    """What is known of each example while the stages of a plan run.

    Args:
        of: what is judged.

    Attributes:
        found: its arrays are written to as stages end.
        goals: of each stage, what its attacks aim at.
    """

    def __init__(self, of: Judged) -> None:
        model, examples, threat, plan, seed, options = of
        self._model, self._examples, self._threat = model, examples, threat
        self._plan, self._retire = plan, options.retire
        (n, num_classes), clean, share = examples.logits.shape, examples.right, None
        if model.is_random:
            asked = examples.images, examples.labels, examples.ids
            share = fresh_right(model, *asked, seed, OfPlan.VERDICT) / model.samples
            clean = share > 0.5
        self.found = Verdicts(
            model=options.name,
            threat=describe(threat),
            clean=clean,
            x_adv=examples.images.copy(),
            winner=np.where(clean, HOLDS, WRONG),
            ids=examples.ids,
            seed=seed,
            tile=options.layout.tile,
            place=np.full(n, -1),
            best_margin=examples.margin.astype(np.float32),
            origin=model.origin,
            samples=model.samples,
            right_share=share,
        )
        self._target_margin = np.full((n, num_classes), -np.inf, np.float32)
        self.goals = [goals_of(s, examples.labels, examples.logits) for s in plan]

    def attacked(self) -> np.ndarray:
        """Positions of the examples that the next stage attacks."""
        left = self.found.winner == HOLDS
        return np.flatnonzero(left if self._retire else self.found.clean)

    def claims(self) -> Claims:
        """An independent look at every example that a stage broke."""
        lost, model, right = np.flatnonzero(self.found.winner >= 0), self._model, None
        images, labels = self._examples.images[lost], self._examples.labels[lost]
        threat = lift.threat_of(self._threat, self._examples.images, lost)
        x_adv = self.found.x_adv[lost]
        if model.is_random:
            ids, seed = self.found.ids[lost], self.found.seed
            right = fresh_right(model, x_adv, labels, ids, seed, OfPlan.CLAIMS)
        looked = (model.logits_fn, threat, images, x_adv, labels)
        return confirm(*looked, right, model.samples)

    def allowed(self, number: int, attacked: np.ndarray) -> np.ndarray:
        """[N, P] bool, at which places a stage attacks each of its examples."""
        history = History(
            self._examples.logits[attacked],
            self._examples.margin[attacked],
            self.found.best_margin[attacked],
            self._target_margin[attacked],
        )
        return allowed(self._plan[number], self.goals[number], history, attacked)

    def settle(self, number: int, attacked: np.ndarray, found: Ledger) -> np.ndarray:
        """What a stage found becomes known; [N] bool, what it broke."""
        self._learn(number, attacked, found)
        rows = np.array(sorted(found.x_adv), np.int64)
        positions, known = attacked[rows], self.found
        if known.right_share is not None and len(rows):
            x_adv = np.stack([found.x_adv[row][1] for row in rows])
            share = self._share(positions, x_adv)
            lost = share <= 0.5
            rows, positions, share = rows[lost], positions[lost], share[lost]
            first = known.winner[positions] == HOLDS
            known.right_share[positions[first]] = share[first]
        broken = ~known.clean
        broken[positions] = True
        if self._retire:
            broken |= known.winner >= 0
        for row, position in zip(rows, positions, strict=True):
            if known.winner[position] == HOLDS:
                known.winner[position] = number
                known.place[position], known.x_adv[position] = found.x_adv[row]
        return broken

    def _learn(self, number: int, attacked: np.ndarray, found: Ledger) -> None:
        """The margins that the stage reached, for the rules of later stages."""
        margin = np.where(np.isnan(found.margin), -np.inf, found.margin)
        for row, (place, _) in found.x_adv.items():
            margin[row, place + 1 :] = -np.inf  # The schedule decides who of them ran.
        best = margin.max(axis=1, initial=-np.inf)
        reached = self.found.best_margin
        reached[attacked] = np.maximum(reached[attacked], best)
        restarts = self._plan[number].restarts
        for k, goal in enumerate(self.goals[number]):
            if isinstance(goal, Towards):
                own = margin[:, k * restarts : (k + 1) * restarts].max(axis=1)
                at = attacked, np.asarray(goal.target)[attacked]
                self._target_margin[at] = np.maximum(self._target_margin[at], own)

    def _share(self, positions: np.ndarray, images: np.ndarray) -> np.ndarray:
        asked = images, self._examples.labels[positions], self.found.ids[positions]
        right = fresh_right(self._model, *asked, self.found.seed, OfPlan.VERDICT)
        return right / self._model.samples


def stage_result(
    name: str,
    broken: np.ndarray,
    attacked: np.ndarray,
    found: Ledger,
    queue: Queue,
    seconds: float,
) -> StageResult:
    """What a stage broke and cost, of its ledger and of what is left in its queue."""
    useful, spent = (np.zeros((len(broken), 2), np.int64) for _ in range(2))
    useful[attacked], spent[attacked] = found.useful(), found.spent
    return StageResult(
        name=name,
        broken=broken,
        forwards=useful[:, 0],
        backwards=useful[:, 1],
        spent_forwards=spent[:, 0],
        spent_backwards=spent[:, 1],
        idle=(int(found.idle[0]), int(found.idle[1])),
        occupancy=found.useful_calls / found.calls if found.calls else 1.0,
        unfinished=queue.left,
        seconds=seconds,
    )
