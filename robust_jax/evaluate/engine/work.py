"""The data of one stage's work items, on the host: what a slot is filled with."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from robust_jax.core import lift
from robust_jax.core.types import Goal, Threat
from robust_jax.evaluate.engine.queue import Item
from robust_jax.evaluate.engine.transitions import Inputs


@dataclasses.dataclass(frozen=True)
class Examples:
    """Checked examples of an evaluation, on the host."""

    images: np.ndarray  # [N, *S] float32, inside the box
    labels: np.ndarray  # [N] int32
    ids: np.ndarray  # [N] uint64
    logits: np.ndarray  # [N, K] clean logits

    def take(self, rows: np.ndarray) -> "Examples":
        """Some of them, by their positions."""
        return Examples(*(field[rows] for field in vars(self).values()))

    @property
    def margin(self) -> np.ndarray:
        """Best other clean logit minus the label's, [N]."""
        own = np.take_along_axis(self.logits, self.labels[:, None], axis=1)
        is_own = np.arange(self.logits.shape[1]) == self.labels[:, None]
        others = np.where(is_own, -np.inf, self.logits).max(axis=1)
        return others - own[:, 0]

    @property
    def right(self) -> np.ndarray:
        """Whether the clean margin is below zero, [N]: a tie is lost."""
        return self.margin < 0


class Work:
    """Keys, inputs, goals and threats of one stage's items.

    `goals` are the fields of all goals, each [targets, examples].

    Args:
        examples: all examples of the evaluation.
        attacked: positions of the stage's rows among them, [N].
        goals: one batch of goals over all examples per target.
        restarts: of each goal.
        threat: fields are scalars, shaped as one example, or per example.
        seed: of the evaluation.
        stage: place of the stage in its plan, for the keys.
    """

    def __init__(
        self,
        examples: Examples,
        attacked: np.ndarray,
        goals: Sequence[Goal],
        restarts: int,
        threat: Threat,
        seed: int,
        stage: int,
    ) -> None:
        self.examples, self.attacked, self.restarts = examples, attacked, restarts
        self._kind, self._seed, self._stage = type(goals[0]), seed, stage
        fields = zip(*map(jax.tree.leaves, goals), strict=True)  # Each a batch.
        self.goals = [np.stack([np.asarray(g) for g in field]) for field in fields]
        self._threat = threat
        self._keys: dict[int, np.ndarray] = {}

    @property
    def targets(self) -> int:
        """How many goals each example has."""
        return len(self.goals[0])

    def inputs(self, items: Sequence[Item | None]) -> Inputs:
        """What fills one tile; slots without an item get the first example's data."""
        rows = np.array([0 if item is None else item.row for item in items])
        places = np.array([0 if item is None else item.place for item in items])
        at = self.attacked[rows]
        key_data = np.zeros((len(items), 2), np.uint32)
        for place in np.unique(places):
            own = places == place
            key_data[own] = self._keys_at(int(place))[rows[own]]
        targets = places // self.restarts
        goal = self._kind(*(field[targets, at] for field in self.goals))
        images, logits = self.examples.images[at], self.examples.logits[at]
        some = lift.threat_of(self._threat, self.examples.images, at)
        threat = lift.threat_on_host(some, images)
        return Inputs(key_data, images, goal, threat, logits)

    def _keys_at(self, place: int) -> np.ndarray:
        if place not in self._keys:
            target, restart = divmod(place, self.restarts)
            names = {"stage": self._stage, "target": target, "restart": restart}
            ids = self.examples.ids[self.attacked]
            self._keys[place] = lift.item_key_data(self._seed, ids, **names)
        return self._keys[place]
