"""The plans by name: AutoAttack's three, a strong one and a swift one (host, NumPy).

AutoAttack's are as published, so that numbers and costs compare; what they lack, a
search that sees labels alone, is asked by the audit. The others have one.

Croce & Hein, "Reliable evaluation of adversarial robustness with an ensemble of
diverse parameter-free attacks", ICML 2020; L1: Croce & Hein, "Mind the box", ICML 2021.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from robust_jax import attacks
from robust_jax.attacks.ascent.acg import at_the_middle
from robust_jax.attacks.gradients.defences import Draw
from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.nearest.fab import halfway_at_random
from robust_jax.core import checks
from robust_jax.core.types import Array, Attack, Key
from robust_jax.evaluate.hard_label import QUERIES, hard_label
from robust_jax.evaluate.selection import leading_targets, near
from robust_jax.evaluate.stages import (
    Goals,
    Plan,
    Stage,
    basic,
    likeliest_targets,
)
from robust_jax.losses import objectives
from robust_jax.losses.objectives import Objective

_BALLS = ("linf", "l2", "l1")
_EVERY = (*_BALLS, "l0", "patch")
_TARGETS = {"linf": 9, "l2": 9, "l1": 5}  # AutoAttack's, of APGD-T
_LARGE_RADII = (3.0, 2.0, 1.0)  # AutoAttack's use_largereps, in L1


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


def standard(norm: str, num_classes: int = 10) -> Plan:
    """AutoAttack's standard plan: APGD-CE, APGD-T, FAB-T and Square.

    In L1 APGD runs at three times, twice and once the radius, with 5 restarts and
    towards 5 targets, FAB-T towards 9.
    Edge cases: where DLR does not exist (targeted with K < 4, untargeted with K < 3)
    APGD climbs the margin; with few classes there are K - 1 targets.

    Args:
        norm: linf, l2 or l1.
        num_classes: K, >= 2.
    Returns: the stages. Of ten classes, an example that stays robust costs at most
        7,812 forwards, the clean one among them, and 1,900 backwards (the authors'
        code: 7,857 and 1,910); in L1 7,832 and 1,920 (7,873 and 1,930).
    Raises: ValueError: another norm; K < 2.
    References: Croce & Hein (2020), Sec. 5; settings of the authors' code. Differs from
        it in: what the attacks' docstrings say.

    >>> [stage.name for stage in rj.evaluate.standard("linf")]
    ['apgd-ce', 'apgd-t', 'fab-t', 'square']
    >>> rj.evaluate.standard("linf", num_classes=2)[1].attack
    apgd(objective=margin, steps=100, radii=(1.0,))
    """
    _check("standard", norm, num_classes)
    ce, targeted = objectives.cross_entropy, _dlr(num_classes, 4)
    targets = likeliest_targets(_TARGETS[norm])
    return (
        Stage("apgd-ce", _apgd(norm, ce), restarts=5 if norm == "l1" else 1),
        Stage(_towards(num_classes), _apgd(norm, targeted), targets),
        Stage("fab-t", attacks.fab(), likeliest_targets(9)),
        Stage("square", attacks.square()),
    )


def plus(norm: str, num_classes: int = 10) -> Plan:
    """AutoAttack's plan "plus": 5 restarts of APGD-CE, APGD-DLR and untargeted FAB too.

    The first start of FAB is the input, so that its restarts are a stage of their own.
    The authors made it for Linf and L2; in L1 APGD runs at the radius alone.
    Edge cases, args, raises: see `standard`.

    >>> [stage.name for stage in rj.evaluate.plus("linf")]
    ['apgd-ce', 'apgd-dlr', 'fab', 'fab restarts', 'square', 'apgd-t', 'fab-t']
    """
    _check("plus", norm, num_classes)
    radii = (1.0,)
    ce = _apgd(norm, objectives.cross_entropy, radii)
    dlr = _apgd(norm, _dlr(num_classes, 3), radii)
    targeted = _apgd(norm, _dlr(num_classes, 4), radii)
    nine = likeliest_targets(9)
    return (
        Stage("apgd-ce", ce, restarts=5),
        Stage(_away(num_classes), dlr, restarts=5),
        Stage("fab", attacks.fab()),
        Stage("fab restarts", attacks.fab(start=halfway_at_random), restarts=4),
        Stage("square", attacks.square()),
        Stage(_towards(num_classes), targeted, nine),
        Stage("fab-t", attacks.fab(), nine),
    )


def by_key(key: Key, net: Any) -> Callable[[Array], Array]:
    """One version of a randomised net: `net(x, key)`."""
    return lambda x: net(x, key)


def rand(norm: str, num_classes: int = 10, draw: Draw = by_key) -> Plan:
    """AutoAttack's plan for randomised defences: APGD-CE and APGD-DLR, averaged.

    Values, gradients and logits are means over 20 versions of the net (EOT).
    Edge cases: see `standard`; as there, one restart. A success is one of the mean
    logits.

    Args:
        norm: linf, l2 or l1.
        num_classes: K, >= 2.
        draw: (key, net) -> one version; by default the net is a function of
            `(x, key=FIXED)`, see `attacks.expectation`.
    Raises: ValueError: another norm; K < 2.

    >>> [stage.attack.steps for stage in rj.evaluate.rand("l2")]
    [101, 101]
    """
    _check("rand", norm, num_classes)
    mean = attacks.expectation(draw, samples=20)
    ce, dlr = (
        _apgd(norm, objective, (1.0,), mean)
        for objective in (objectives.cross_entropy, _dlr(num_classes, 3))
    )
    return Stage("apgd-ce", ce), Stage(_away(num_classes), dlr)


def strongest(norm: str, num_classes: int = 10) -> Plan:
    """Everything that the library has for the norm, with restarts; cheap ones first.

    For the last tenth of a percent, at five times the cost of `standard`: each
    stage starts elsewhere, climbs another objective or moves by another rule.
    Edge cases: see `standard`. L0 and patches have PGD and Sparse-RS alone.

    Args:
        norm: linf, l2, l1, l0 or patch.
        num_classes: K, >= 2.
    Raises: ValueError: another norm; K < 2.

    >>> len(rj.evaluate.strongest("linf"))
    14
    """
    _check("strongest", norm, num_classes, _EVERY)
    every = likeliest_targets(num_classes - 1)
    dlr, targeted = _dlr(num_classes, 3), _dlr(num_classes, 4)
    ce, margin = objectives.cross_entropy, objectives.margin
    if norm not in _BALLS:
        return _strongest_where_few_pixels_change(norm, (ce, margin, dlr), every)
    direct = tuple(
        Stage(f"apgd {objective.__name__}", _apgd(norm, objective), restarts=5)
        for objective in (ce, margin, dlr)
    )
    return (
        *direct,
        *(_only_l1() if norm == "l1" else _only_linf_l2(norm, every)),
        Stage("multi-targeted", attacks.multi_targeted(), restarts=2),
        Stage(_towards(num_classes), _apgd(norm, targeted), every, 2),
        Stage("apgd-t margin", _apgd(norm, margin), every),
        Stage("fab-t", attacks.fab(), every),
        Stage("fab-t restarts", attacks.fab(start=halfway_at_random), every, 2),
        Stage("square", attacks.square(10_000), restarts=3),
        Stage("labels 1000", hard_label(1000)),
    )


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
    _check("swift", norm, num_classes)
    ce, targeted = objectives.cross_entropy, _dlr(num_classes, 4)
    longer, full = (_swift_apgd(norm, targeted, n) for n in (30, 100))
    targets = likeliest_targets(9 if norm == "linf" else 5)
    other = _swift_apgd(norm, objectives.margin, 100) if norm == "l1" else attacks.acg()
    towards = _towards(num_classes)
    starts, share = 4 if norm == "l1" else 1, _SHARES[norm]
    return (
        Stage("apgd-ce 20", _swift_apgd(norm, ce, 20), restarts=starts),
        Stage("square 100", attacks.square(100, horizon=100)),
        *_swift_towards(norm, num_classes, targets),
        Stage(
            f"{towards} 30",
            longer,
            targets,
            only=leading_targets(share.more_steps, 0.15),
        ),
        Stage("margin 100", other, only=near(share.margin)),
        Stage(f"{towards} 100", full, targets, only=leading_targets(share.full, 0.15)),
        Stage(
            "square 2000",
            attacks.square(2000, horizon=2000),
            only=near(share.square),
        ),
        Stage(
            "square 5000",
            attacks.square(5000, horizon=5000),
            only=near(share.long_square),
        ),
        Stage(
            "apgd-ce 100",
            _swift_apgd(norm, ce, 100),
            restarts=2,
            only=near(share.restarts),
        ),
        _labels_alone(),
    )


_PLANS: dict[str, Callable[[str, int], Plan]] = {
    "basic": lambda norm, num_classes: (
        *basic(),
        *((_labels_alone(),) if norm in _BALLS else ()),
    ),
    "plus": plus,
    "rand": rand,
    "standard": standard,
    "strongest": strongest,
    "swift": swift,
}


def by_name(plan: str, norm: str, num_classes: int = 10) -> Plan:
    """The plan of a name, for a norm and a number of classes.

    Args:
        plan: basic, plus, rand, standard, strongest or swift.
        norm: linf, l2, l1; l0 and patch for basic and strongest.
        num_classes: K, >= 2.
    Raises: ValueError: an unknown plan, with the nearest name; a norm that the plan
        has no attacks for; K < 2.
    """
    check_known(plan)
    _check(plan, norm, num_classes, _EVERY)
    return _PLANS[plan](norm, num_classes)


def check_known(plan: str) -> None:
    """Raises ValueError for an unknown plan, with the nearest name."""
    checks.known_name("plan", plan, _PLANS)


def _check(
    plan: str, norm: str, num_classes: int, norms: tuple[str, ...] = _BALLS
) -> None:
    checks.known_name("norm", norm, _EVERY)
    if norm not in norms:
        raise ValueError(
            f"norm={norm!r}; expected {', '.join(norms)}: plan {plan!r} is made of "
            "attacks that L0 and patches lack; use basic or strongest"
        )
    checks.positive_integer("num_classes", num_classes)
    if num_classes < 2:
        raise ValueError(f"num_classes={num_classes}; expected at least 2 classes")


def _dlr(num_classes: int, least: int) -> Objective:
    """DLR, or the margin with fewer classes than it needs."""
    return objectives.dlr if num_classes >= least else objectives.margin


def _towards(num_classes: int) -> str:
    """The name of APGD towards targets, which tells what it climbs."""
    return "apgd-t" if _dlr(num_classes, 4) is objectives.dlr else "apgd-margin-t"


def _away(num_classes: int) -> str:
    """The name of untargeted APGD on DLR, or on what stands in for it."""
    return "apgd-dlr" if _dlr(num_classes, 3) is objectives.dlr else "apgd-margin"


def _apgd(
    norm: str,
    objective: Objective,
    radii: tuple[float, ...] = _LARGE_RADII,
    gradient: Gradient | None = None,
) -> Attack:
    """AutoAttack's APGD for a norm."""
    if norm == "l1":
        return attacks.apgd_l1(objective, radii=radii, gradient=gradient)
    return attacks.apgd(objective, gradient=gradient)


def _swift_apgd(norm: str, objective: Objective, steps: int) -> Attack:
    if norm == "l1":
        return attacks.apgd_l1(objective, steps)
    return attacks.apgd(objective, steps)


def _swift_towards(norm: str, num_classes: int, targets: Goals) -> Plan:
    """The stages of `swift` towards targets that attack every example."""
    if norm == "l2":  # Larger balls first: near x gradients may point nowhere.
        from_afar = attacks.apgd(objectives.margin, 30, radii=_LARGE_RADII)
        fab = attacks.fab(60, alpha_max=0.2)
        return (
            Stage("apgd-margin-t 30", from_afar, likeliest_targets(3)),
            Stage("fab-t 60", fab, likeliest_targets(2)),
        )
    short = _swift_apgd(norm, _dlr(num_classes, 4), 10)
    fab = attacks.fab(40, alpha_max=0.5)
    return (
        Stage(f"{_towards(num_classes)} 10", short, targets),
        *((Stage("fab-t 40", fab, likeliest_targets(2)),) if norm == "l1" else ()),
    )


def _labels_alone() -> Stage:
    return Stage(f"labels {QUERIES}", hard_label(QUERIES))


def _strongest_where_few_pixels_change(
    norm: str, climbed: tuple[Objective, ...], every: Goals
) -> Plan:
    """Of L0 and of patches."""
    by_steps: dict[str, Any] = {"l0": attacks.pgd_l0, "patch": attacks.pgd}
    by_search = {"l0": attacks.sparse_rs, "patch": attacks.sparse_rs_patch}
    pgd, name = by_steps[norm], f"pgd-{norm}"
    untargeted = (
        Stage(f"{name} {objective.__name__}", pgd(100, objective=objective), restarts=5)
        for objective in climbed
    )
    targeted = pgd(100, objective=objectives.margin)
    # From x gradients choose the place of a patch; chance does from elsewhere.
    from_x = Stage("bim-patch", attacks.bim(100, objective=objectives.margin), every)
    return (
        *((from_x,) if norm == "patch" else ()),
        *untargeted,
        Stage(f"{name} targeted", targeted, every, 2),
        Stage("sparse-rs", by_search[norm](10_000), restarts=3),
    )


def _only_linf_l2(norm: str, every: Goals) -> Plan:
    from_afar = attacks.apgd(objectives.margin, radii=_LARGE_RADII)
    return (
        Stage("acg middle", attacks.acg(start=at_the_middle))
        if norm == "linf"
        else Stage("apgd margin from afar", from_afar, every),
        Stage("acg", attacks.acg(), restarts=5),
        Stage("odi", attacks.odi_pgd(), restarts=20),
        Stage("gama", attacks.gama_pgd(), restarts=5),
    )


def _only_l1() -> Plan:
    return (
        Stage("apgd margin eps", _apgd("l1", objectives.margin, (1.0,)), restarts=5),
        Stage("slide", attacks.slide(100, objective=objectives.margin), restarts=5),
    )
