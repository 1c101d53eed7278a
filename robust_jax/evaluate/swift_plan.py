"""The swift plan: what `standard` finds, for a tenth of its cost (host, NumPy)."""

from typing import NamedTuple

from robust_jax import attacks
from robust_jax.core.types import Attack
from robust_jax.evaluate.plan_parts import (
    LARGE_RADII,
    check_fits,
    dlr_for,
    labels_alone,
    name_towards,
)
from robust_jax.evaluate.selection import leading_targets, near
from robust_jax.evaluate.stages import Goals, Plan, Stage, likeliest_targets
from robust_jax.losses import objectives
from robust_jax.losses.objectives import Objective


class _Shares(NamedTuple):
    """How near an example must be for each later stage of `swift`; see `near`."""

    more_steps: float
    margin: float
    full: float
    square: float
    long_square: float
    restarts: float


# By trials on five nets, most of whose examples keep more than 0.2 of the margin; the
# more come near zero, the more it costs. L2 and L1 pay for FAB-T besides.
_SHARES = {
    "linf": _Shares(0.35, 0.3, 0.15, 0.2, 0.1, 0.1),
    "l2": _Shares(0.1, 0.1, 0.05, 0.03, 0.01, 0.02),
    "l1": _Shares(0.2, 0.15, 0.1, 0.05, 0.02, 0.05),
}


def swift(norm: str, num_classes: int = 10) -> Plan:
    """What `standard` finds in Linf, for a tenth of its cost.

    Few steps tell which examples are far from every boundary. Effort goes to the
    others: more steps towards the targets that lead, then another rule of motion, and
    2,000, then 5,000 queries of Square for those whose margin has shrunk the most,
    since gradients may miss by a little. A first 100 queries on all examples raise the
    margin, and so ask for more, where gradients are masked altogether. L2 and L1 begin
    with fewer targets and have a short FAB-T, which comes from outside the ball; so
    does L2's ascent, which begins at three times the radius.
    Last comes a search that sees labels alone, for heads whose scores lead astray; it
    gives up early where the class changes far away, after 50 to 120 queries on average
    on five of six nets.
    Guarantees: which stages attack an example depends on that example alone.
    Edge cases: see `standard`. An example that looks safe to the short attacks is not
    looked at again, so `standard` may take it. In Linf an example that stays robust
    cost 0.04 to 0.08 of AutoAttack on six nets, and more where few stay robust, all
    near the boundary: 0.28 where a plain net was left 26 % (0.15 in L2). L2 and L1
    promise less: a net trained for Linf misled gradients and kept 4 points too many in
    L2, where it takes FAB-T its 100 steps (another lost 2 points more than to
    `standard`), and 10 in L1.

    Args:
        norm: linf, l2 or l1.
        num_classes: K, >= 2.
    Raises: ValueError: another norm; K < 2.

    >>> [stage.name for stage in rj.evaluate.swift("linf")][:3]
    ['apgd-ce 20', 'square 100', 'apgd-t 10']
    """
    check_fits("swift", norm, num_classes)
    ce, targeted = objectives.cross_entropy, dlr_for(num_classes, 4)
    longer, full = (_apgd(norm, targeted, n) for n in (30, 100))
    targets = likeliest_targets(9 if norm == "linf" else 5)
    other = _apgd(norm, objectives.margin, 100) if norm == "l1" else attacks.acg()
    towards = name_towards(num_classes)
    starts, share = 4 if norm == "l1" else 1, _SHARES[norm]
    return (
        Stage("apgd-ce 20", _apgd(norm, ce, 20), restarts=starts),
        Stage("square 100", attacks.square(100, horizon=100)),
        *_towards_targets(norm, num_classes, targets),
        Stage(
            f"{towards} 30",
            longer,
            targets,
            only=leading_targets(share.more_steps, 0.15),
        ),
        Stage("margin 100", other, only=near(share.margin)),
        Stage(f"{towards} 100", full, targets, only=leading_targets(share.full, 0.15)),
        Stage(
            "square 2000", attacks.square(2000, horizon=2000), only=near(share.square)
        ),
        Stage(
            "square 5000",
            attacks.square(5000, horizon=5000),
            only=near(share.long_square),
        ),
        Stage(
            "apgd-ce 100", _apgd(norm, ce, 100), restarts=2, only=near(share.restarts)
        ),
        labels_alone(),
    )


def _apgd(norm: str, objective: Objective, steps: int) -> Attack:
    if norm == "l1":
        return attacks.apgd_l1(objective, steps)
    return attacks.apgd(objective, steps)


def _towards_targets(norm: str, num_classes: int, targets: Goals) -> Plan:
    """The stages of `swift` towards targets that attack every example."""
    if norm == "l2":  # Larger balls first: near x gradients may point nowhere.
        from_afar = attacks.apgd(objectives.margin, 30, radii=LARGE_RADII)
        fab = attacks.fab(60, alpha_max=0.2)
        return (
            Stage("apgd-margin-t 30", from_afar, likeliest_targets(3)),
            Stage("fab-t 60", fab, likeliest_targets(2)),
        )
    short = _apgd(norm, dlr_for(num_classes, 4), 10)
    fab = attacks.fab(40, alpha_max=0.5)
    return (
        Stage(f"{name_towards(num_classes)} 10", short, targets),
        *((Stage("fab-t 40", fab, likeliest_targets(2)),) if norm == "l1" else ()),
    )
