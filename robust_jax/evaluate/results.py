"""What an evaluation finds: of each stage, and of each example (host, NumPy)."""

import dataclasses
from typing import Any

import numpy as np

from robust_jax.core.brief import brief, brief_html
from robust_jax.core.metrics import Proportion
from robust_jax.core.origin import Origin
from robust_jax.evaluate.claims import NO_CLAIMS, Claims

HOLDS, WRONG = -1, -2  # Winners of examples that no stage has broken.


def _nobody() -> np.ndarray:
    return np.zeros(0)


@dataclasses.dataclass(frozen=True)
class StageResult:
    """One stage over all N examples of an evaluation.

    `broken` includes the examples that the model gets wrong without any attack and,
    where stages retire examples, those that an earlier stage broke. There are two
    ledgers. Useful cost is that of an example's items up to its winner: it does not
    depend on the schedule. Spent cost is all that slots with its items computed in this
    session, frozen steps and cancelled items too; what a journal held was spent before.
    `idle` is what slots without an item computed.

    >>> [stage] = report.stages
    >>> stage.name, stage.accuracy.value, stage.broken, stage.forwards
    ('fgsm', 0.333, array([ True, False, True]), array([2, 2, 2]))
    """

    name: str
    broken: np.ndarray  # [N] bool
    forwards: np.ndarray  # [N] int64, useful model evaluations
    backwards: np.ndarray  # [N] int64, useful gradients
    spent_forwards: np.ndarray  # [N] int64
    spent_backwards: np.ndarray  # [N] int64
    idle: tuple[int, int] = (0, 0)  # forwards and backwards
    occupancy: float = 1.0  # share of the slots' calls that moved an item
    unfinished: int = 0  # items that a time limit left undone
    seconds: float = 0.0  # wall time, compilation included

    __repr__ = brief
    _repr_html_ = brief_html

    @property
    def accuracy(self) -> Proportion:
        """Accuracy after this stage."""
        return Proportion(int((~self.broken).sum()), len(self.broken))

    def ledger(self, holds: np.ndarray) -> dict[str, Any]:
        """What a record keeps of its cost.

        Args:
            holds: shape [N] bool, the examples that no stage broke.
        """
        useful = self.forwards + 2 * self.backwards
        return {
            "stage": self.name,
            "useful_forwards": int(self.forwards.sum()),
            "useful_backwards": int(self.backwards.sum()),
            "spent_forwards": int(self.spent_forwards.sum()),
            "spent_backwards": int(self.spent_backwards.sum()),
            "idle_forwards": self.idle[0],
            "idle_backwards": self.idle[1],
            "equivalents_per_robust_point": (
                float(useful[holds].mean()) if holds.any() else None
            ),
            "occupancy": self.occupancy,
            "unfinished": self.unfinished,
        }


@dataclasses.dataclass(frozen=True)
class Verdicts:
    """Clean accuracy, what each stage left, and the worst case over all stages.

    Arrays are per example in the caller's order, images in the layout that the model
    takes. `x_adv` of an example that no stage broke is the clean input; `winner` is the
    stage that broke it (-1 none, -2 the model was wrong without an attack), `place` its
    target * restarts + restart; `best_margin` is the largest that any stage reached.
    """

    model: str
    threat: str
    clean: np.ndarray  # [N] bool: right without an attack
    x_adv: np.ndarray  # [N, *S]
    winner: np.ndarray  # [N] int
    ids: np.ndarray  # [N] uint64
    seed: int
    tile: int
    stages: tuple[StageResult, ...] = ()
    claims: Claims = NO_CLAIMS
    place: np.ndarray = dataclasses.field(default_factory=_nobody)  # [N] int; -1: none
    best_margin: np.ndarray = dataclasses.field(default_factory=_nobody)  # [N] reached
    samples: int = 1  # of a random net's verdict
    right_share: np.ndarray | None = None  # [N] of a random net's fresh answers, at
    # x_adv where there is a winner, at the clean image otherwise
    # Seconds of the attacks in each earlier sitting, of one that went on.
    earlier: tuple[float, ...] = dataclasses.field(default=(), kw_only=True)
    origin: Origin | None = dataclasses.field(default=None, kw_only=True)  # the model's

    @property
    def unfinished(self) -> int:
        """Items that a time limit left undone: above 0, the report is partial."""
        return sum(stage.unfinished for stage in self.stages)

    @property
    def forwards(self) -> int:
        """Useful model evaluations, the clean ones included."""
        return len(self.clean) + sum(int(s.forwards.sum()) for s in self.stages)

    @property
    def backwards(self) -> int:
        """Useful gradients."""
        return sum(int(s.backwards.sum()) for s in self.stages)

    @property
    def clean_accuracy(self) -> Proportion:
        """Accuracy without an attack."""
        return Proportion(int(self.clean.sum()), len(self.clean))

    @property
    def robust_accuracy(self) -> Proportion:
        """Worst case: the share that is right without attack and under every stage."""
        return Proportion(int((self.winner == -1).sum()), len(self.winner))
