"""What an evaluation runs, as data: a plan is a tuple of stages."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from robust_jax import attacks
from robust_jax.core import checks
from robust_jax.core.types import Attack, Goal, Towards, Untargeted
from robust_jax.losses import objectives

# (labels [N], number of classes) -> goals, each a batch of N; tried in this order
Goals = Callable[[np.ndarray, int], Sequence[Goal]]


def untargeted(labels: np.ndarray, num_classes: int) -> Sequence[Goal]:
    """One goal per example: any class but its own."""
    return (Untargeted(labels),)


def each_wrong_class(labels: np.ndarray, num_classes: int) -> Sequence[Goal]:
    """K - 1 goals per example: towards every other class, the next one first."""
    return tuple(
        Towards(labels, (labels + shift) % num_classes)
        for shift in range(1, num_classes)
    )


@dataclasses.dataclass(frozen=True)
class Stage:
    """An attack with its goals and restarts: goals x restarts work items per example.

    Raises: ValueError: if restarts is not an integer >= 1.
    """

    name: str
    attack: Attack
    goals: Goals = untargeted
    restarts: int = 1

    def __post_init__(self) -> None:
        checks.positive_integer("restarts", self.restarts)


Plan = tuple[Stage, ...]


def basic(steps: int = 40, restarts: int = 5, relative_step: float = 1 / 30) -> Plan:
    """FGSM, PGD on cross entropy and on the margin, PGD towards every wrong class.

    A first look at a net, not a claim of robustness: nothing here adapts its step.

    Args:
        steps: of each PGD, >= 1.
        restarts: random starts of the untargeted PGDs, >= 1.
        relative_step: step size as a multiple of eps; 1/30 is 0.01 at eps 0.3.
    Raises: ValueError: steps or restarts below 1.
    """
    ce = attacks.pgd(steps, relative_step, objectives.cross_entropy)
    margin = attacks.pgd(steps, relative_step, objectives.margin)
    return (
        Stage("fgsm", attacks.fgsm()),
        Stage(f"pgd-{steps} ce", ce, untargeted, restarts),
        Stage(f"pgd-{steps} margin", margin, untargeted, restarts),
        Stage(f"pgd-{steps} targeted", margin, each_wrong_class),
    )


def work_items(plan: Plan, num_classes: int) -> int:
    """How many times a plan attacks an example that no attack breaks."""
    label = np.zeros(1, np.int32)
    return sum(s.restarts * len(s.goals(label, num_classes)) for s in plan)
