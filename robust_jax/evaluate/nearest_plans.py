"""The library's choice of minimum-norm attacks, one plan for each norm."""

from typing import NamedTuple

from robust_jax import attacks
from robust_jax.core import checks
from robust_jax.core.types import Attack
from robust_jax.evaluate.stages import Stage, likeliest_targets
from robust_jax.losses import objectives


class NearestPlan(NamedTuple):
    """Minimum-norm attacks whose nearest find counts.

    >>> stages = (rj.evaluate.Stage("ddn", rj.attacks.ddn()),)
    >>> rj.evaluate.NearestPlan("ddn, polished", stages, polish=12).polish
    12
    """

    name: str
    stages: tuple[Stage, ...]
    refine: Attack | None = None  # goes on from the find, towards the class found
    refine_each: bool = False  # from each stage's and restart's find, not the nearest
    polish: int = 0  # points per example that are tried between the find and x


def nearest(norm: str, num_classes: int = 10) -> NearestPlan:
    """The default plan of a norm: at most 1,000 forwards and backwards per example.

    FAB (in L0 greedy search) converges fast on nets that are nearly linear; bisected
    APGD and proximal descent go on where gradients mislead it. Which of them, with
    which share of the budget, was chosen on validation images of three nets (digits
    and MNIST) for the least mean distance. In L2 FAB then goes on from the nearest
    find, in Linf Brendel & Bethge's attack from that of each stage and restart, which
    are short. The end is polished: by bisection along the segment to x, in L0 by
    dropping coordinates while all others go to the faces of the box.
    Edge cases: of two classes the margin is climbed where DLR needs a third.

    Args:
        norm: "linf", "l2", "l1" or "l0".
        num_classes: K, >= 2.
    Raises: ValueError: an unknown norm; the nearest one is suggested.

    >>> [stage.attack.steps for stage in rj.evaluate.nearest("l2").stages]
    [6, 33, 194]
    """
    checks.known_name("norm", norm, _STAGES)
    halvings = 10 if norm == "l0" else 12
    stages: tuple[Stage, ...] = _STAGES[norm]
    if num_classes < 3:
        stages = tuple(_OF_TWO.get(stage.name, stage) for stage in stages)
    return NearestPlan("nearest", stages, _REFINE.get(norm), norm == "linf", halvings)


def _fab(steps: int, targets: int) -> Stage:
    return Stage(f"fab-{targets}", attacks.fab(steps), likeliest_targets(targets))


def _pdpgd(steps: int, step_size: float) -> Stage:
    return Stage(f"pdpgd-{step_size}", attacks.pdpgd(steps, step_size))


def _short_apgd(objective: objectives.Objective) -> Attack:
    return attacks.minimal_apgd(objective, 10, 8)


_REFINE = {"linf": attacks.brendel_bethge(58, 0.1, 3e-4), "l2": attacks.fab(40)}
_STAGES = {
    "linf": (
        Stage("apgd", _short_apgd(objectives.cross_entropy), restarts=2),
        Stage("apgd-dlr", _short_apgd(objectives.dlr)),
        _fab(4, 9),
    ),
    "l2": (_fab(6, 9), _fab(33, 3), _pdpgd(193, 0.3)),
    "l1": (_fab(20, 5), _pdpgd(167, 0.2), _pdpgd(167, 0.3)),
    "l0": (
        Stage("greedy", attacks.greedy_l0(8, 20)),
        _pdpgd(205, 0.2),
        _pdpgd(165, 0.4),
    ),
}
_OF_TWO = {"apgd-dlr": Stage("apgd-margin", _short_apgd(objectives.margin))}
