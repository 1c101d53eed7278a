"""What several plans are made of: norms, the largest radii, what their stages climb."""

from robust_jax.core import checks
from robust_jax.evaluate.hard_label import QUERIES, hard_label
from robust_jax.evaluate.stages import Stage
from robust_jax.losses import objectives
from robust_jax.losses.objectives import Objective

BALLS = ("linf", "l2", "l1")
EVERY_NORM = (*BALLS, "l0", "patch")
LARGE_RADII = (3.0, 2.0, 1.0)  # AutoAttack's use_largereps, in L1


def check_fits(
    plan: str, norm: str, num_classes: int, norms: tuple[str, ...] = BALLS
) -> None:
    """Raises ValueError for a norm that a plan is not made for, or too few classes."""
    checks.known_name("norm", norm, EVERY_NORM)
    if norm not in norms:
        raise ValueError(
            f"norm={norm!r}; expected {', '.join(norms)}: plan {plan!r} is made of "
            "attacks that L0 and patches lack; use basic or strongest"
        )
    checks.positive_integer("num_classes", num_classes)
    if num_classes < 2:
        raise ValueError(f"num_classes={num_classes}; expected at least 2 classes")


def dlr_for(num_classes: int, least: int) -> Objective:
    """DLR, or the margin with fewer classes than it needs."""
    return objectives.dlr if num_classes >= least else objectives.margin


def name_towards(num_classes: int) -> str:
    """The name of APGD towards targets, which tells what it climbs."""
    return "apgd-t" if dlr_for(num_classes, 4) is objectives.dlr else "apgd-margin-t"


def name_away(num_classes: int) -> str:
    """The name of untargeted APGD on DLR, or on what stands in for it."""
    return "apgd-dlr" if dlr_for(num_classes, 3) is objectives.dlr else "apgd-margin"


def labels_alone() -> Stage:
    """A search that sees labels alone."""
    return Stage(f"labels {QUERIES}", hard_label(QUERIES))
