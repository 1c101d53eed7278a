"""What an evaluation runs, as data: a plan is a tuple of stages."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from robust_jax import attacks
from robust_jax.core import checks, facts
from robust_jax.core.memo import memoised
from robust_jax.core.types import Attack, Goal, Reach, Towards, Untargeted
from robust_jax.losses import objectives

# (labels [N], clean logits [N, K]) -> goals, each a batch of N; tried in this order
Goals = Callable[[np.ndarray, np.ndarray], Sequence[Goal]]


class History(NamedTuple):
    """What earlier stages saw of the examples that they left, N of them.

    Margins are those of the strongest points so far, best other logit minus the true
    one: below zero, and nearer to it where an attack came nearer to a success.

    >>> logits = np.array([[2.0, 1.0], [3.0, 0.0]])
    >>> margin, nothing = logits[:, 1] - logits[:, 0], np.full((2, 2), -np.inf)
    >>> seen = rj.evaluate.History(logits, margin, margin + 0.5, nothing)
    >>> nearly = lambda history: history.best_margin > -1.0  # For `Stage(only=nearly)`.
    >>> nearly(seen)
    array([ True, False])
    """

    logits: np.ndarray  # [N, K] clean
    clean_margin: np.ndarray  # [N]
    best_margin: np.ndarray  # [N] over all stages; the clean one before any
    target_margin: np.ndarray  # [N, K] by items towards a class; -inf where none


# History -> bool [N], which examples a stage attacks, or [N, K], towards which classes.
# A function of each example alone: else a result would depend on the others.
Only = Callable[[History], np.ndarray]


def untargeted(labels: np.ndarray, logits: np.ndarray) -> Sequence[Goal]:
    """One goal per example: any class but its own.

    >>> rj.evaluate.untargeted(np.array([0, 2]), np.zeros((2, 3)))
    (Untargeted(label=array([0, 2])),)
    """
    return (Untargeted(labels),)


def each_wrong_class(labels: np.ndarray, logits: np.ndarray) -> Sequence[Goal]:
    """K - 1 goals per example: towards every other class, the next one first.

    >>> goals = rj.evaluate.each_wrong_class(np.array([0, 2]), np.zeros((2, 3)))
    >>> [goal.target for goal in goals]
    [array([1, 0]), array([2, 1])]
    """
    num_classes = logits.shape[1]
    return tuple(
        Towards(labels, (labels + shift) % num_classes)
        for shift in range(1, num_classes)
    )


@memoised
def likeliest_targets(targets: int = 9) -> Goals:
    """Towards the wrong classes with the largest clean logits, the likeliest first.

    AutoAttack's targets. All wrong classes if there are fewer than `targets`.

    Raises: ValueError: if targets is not an integer >= 1.

    >>> logits = np.array([[3.0, 0.0, 2.0, 1.0]])
    >>> goals = rj.evaluate.likeliest_targets(2)(np.array([0]), logits)
    >>> [goal.target for goal in goals]
    [array([2]), array([3])]
    """
    checks.positive_integer("targets", targets)

    def goals(labels: np.ndarray, logits: np.ndarray) -> Sequence[Goal]:
        is_label = np.arange(logits.shape[1]) == labels[:, None]
        order = np.argsort(np.where(is_label, np.inf, -logits), axis=1, kind="stable")
        order = order.astype(labels.dtype)
        return tuple(
            Towards(labels, order[:, k])
            for k in range(min(targets, logits.shape[1] - 1))
        )

    return goals


@dataclasses.dataclass(frozen=True)
class Stage:
    """An attack with its goals and restarts: goals x restarts work items per example.

    With `only` it spares the examples, or the targets, that the rule says no to. Under
    a threat that the attack is not vouched for it is refused, unless it is `unvouched`:
    then it runs, and the report says so.

    Raises: ValueError: if restarts is not an integer >= 1. TypeError: what is no
        attack, no function, no name.

    >>> stage = rj.evaluate.Stage("square", rj.attacks.square(1000), restarts=2)
    >>> rj.evaluate.work_items((stage,), num_classes=10)
    2
    """

    name: str
    attack: Attack
    goals: Goals = untargeted
    restarts: int = 1
    only: Only | None = None
    unvouched: bool = False

    def __post_init__(self) -> None:
        checks.instance("name", self.name, str, "a text")
        checks.attack("attack", self.attack)
        checks.function("goals", self.goals)
        checks.positive_integer("restarts", self.restarts)
        if self.only is not None:
            checks.function("only", self.only)
        checks.flag("unvouched", self.unvouched)
        if self.unvouched:
            object.__setattr__(self, "attack", facts.unvouched(self.attack))


Plan = tuple[Stage, ...]


def goals_of(stage: Stage, labels: np.ndarray, logits: np.ndarray) -> Sequence[Goal]:
    """A stage's goals, such that a success is an error of the model.

    Raises: ValueError: none; goals of other labels than the examples'; targets that are
        no wrong class.
    """
    goals = tuple(stage.goals(labels, logits))
    if not goals:
        raise ValueError(
            f"goals of stage {stage.name!r} are none; expected one or more"
        )
    for goal in goals:
        if not isinstance(goal, Untargeted | Towards | Reach):
            raise TypeError(
                f"goals of stage {stage.name!r} hold {checks.shown(goal)}; expected "
                "Untargeted, Towards or Reach"
            )
        if not isinstance(goal, Reach) and not np.array_equal(goal.label, labels):
            raise ValueError(
                f"goals of stage {stage.name!r} have other labels than the examples; "
                "expected those that the function was given"
            )
        if not isinstance(goal, Untargeted):
            _check_targets(stage.name, np.asarray(goal.target), labels, logits.shape[1])
    return goals


def _check_targets(
    name: str, targets: np.ndarray, labels: np.ndarray, num_classes: int
) -> None:
    fits = targets.shape == labels.shape
    if fits and np.issubdtype(targets.dtype, np.integer):
        bad = (targets == labels) | (targets < 0) | (targets >= num_classes)
        if not bad.any():
            return
        at = int(np.argmax(bad))
        raise ValueError(
            f"goals of stage {name!r} have the target {targets[at]} for example {at}, "
            f"whose label is {labels[at]}; expected another class below {num_classes}"
        )
    raise ValueError(
        f"goals of stage {name!r} have targets of {targets.dtype} and shape "
        f"{targets.shape}; expected integers of shape {labels.shape}"
    )


def basic(steps: int = 40, restarts: int = 5, relative_step: float = 1 / 30) -> Plan:
    """FGSM, PGD on cross entropy and on the margin, PGD towards every wrong class.

    A first look at a net, not a claim of robustness: nothing here adapts its step.

    Args:
        steps: of each PGD, >= 1.
        restarts: random starts of the untargeted PGDs, >= 1.
        relative_step: step size as a multiple of eps; 1/30 is 0.01 at eps 0.3.
    Raises: ValueError: steps or restarts below 1.

    >>> [stage.name for stage in rj.evaluate.basic(steps=20)]
    ['fgsm', 'pgd-20 ce', 'pgd-20 margin', 'pgd-20 targeted']
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
    """How many times a plan attacks an example that no attack breaks.

    >>> rj.evaluate.work_items(rj.evaluate.standard("linf"), num_classes=10)
    20
    """
    label, logits = np.zeros(1, np.int32), np.zeros((1, num_classes))
    return sum(s.restarts * len(s.goals(label, logits)) for s in plan)


def allowed(
    stage: Stage, goals: Sequence[Goal], history: History, attacked: np.ndarray
) -> np.ndarray:
    """[M, P] bool, at which places a stage attacks each of its examples.

    Args:
        stage: with its rule, if it has one.
        goals: of all N examples.
        history: of the M attacked ones.
        attacked: their positions among the N, [M].
    """
    places = np.ones((len(attacked), len(goals)), bool)
    if stage.only is not None:
        says = np.asarray(stage.only(history), bool)
        for k, goal in enumerate(goals):
            if says.ndim == 1:
                places[:, k] = says
            elif isinstance(goal, Towards):
                target = np.asarray(goal.target)[attacked]
                places[:, k] = says[np.arange(len(attacked)), target]
            else:
                places[:, k] = says.any(axis=1)
    return np.repeat(places, stage.restarts, axis=1)
