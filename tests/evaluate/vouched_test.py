"""Every way to run an attack asks what it is vouched for, once, in one sentence."""

import numpy as np
import pytest

from robust_jax import attacks, evaluate, threats
from robust_jax.core import facts
from robust_jax.evaluate import Stage, plans
from tests import victims

MODEL = victims.affine_victim((6,), 3)
IMAGES = victims.inputs((6,), 4)
LABELS = victims.predicted(MODEL, IMAGES)
SPSA = attacks.spsa(2, samples=2)
REFUSED = r"^threat=L0; expected threats\.Linf or threats\.L2 for spsa, which nobody"


def judged(stage):
    return evaluate.robustness(
        MODEL, IMAGES, LABELS, threats.L0(2.0), plan=(stage,), audit=False
    )


def test_a_stage_that_nobody_vouches_for_is_refused_or_named():
    with pytest.raises(ValueError, match=REFUSED):
        judged(Stage("a", SPSA))
    report = judged(Stage("a", SPSA, unvouched=True))
    assert "worst case over a (not vouched for under L0)" in report.citation()
    assert "a (not vouched for under L0)" in str(report)
    assert judged(Stage("b", attacks.pgd_l0(2))).rows()[1]["attack"] == "b"
    same = judged(Stage("b", attacks.pgd_l0(2), unvouched=True))
    assert same.rows()[1]["attack"] == "b"  # It is vouched for here.


def test_a_curve_that_nobody_vouches_for_is_refused():
    given = MODEL, IMAGES, LABELS, threats.L0(1.0), [1.0], SPSA
    with pytest.raises(ValueError, match=REFUSED):
        evaluate.curve(*given)
    assert evaluate.curve(*given, unvouched=True).broken.shape == (1, 4)


def test_a_fixed_budget_gives_no_distances():
    given = MODEL, IMAGES, LABELS, threats.L2(np.inf)
    with pytest.raises(
        ValueError, match="^attack=pgd has a fixed budget; expected one"
    ):
        evaluate.distances(*given, Stage("pgd", attacks.pgd(3)))
    with pytest.raises(ValueError, match="^attack=pgd has a fixed budget"):
        evaluate.distances(*given, "pgd")
    found = evaluate.distances(
        MODEL,
        IMAGES,
        LABELS,
        threats.L2(1.0),
        Stage("p", attacks.pgd(3), unvouched=True),
    )
    assert found.distance.shape == (4,) and found.name == "p"
    with pytest.raises(ValueError, match="^threat=L1; expected threats.L2 for ddn"):
        evaluate.distances(MODEL, IMAGES, LABELS, threats.L1(np.inf), attacks.ddn(3))


OF_BALLS = ["plus", "rand", "standard", "swift"]
OF_ALL = ["basic", "strongest"]
PLANS = [(name, norm) for norm in ("linf", "l2", "l1") for name in OF_BALLS + OF_ALL]
PLANS += [(name, norm) for norm in ("l0", "patch") for name in OF_ALL]


@pytest.mark.parametrize(("name", "norm"), PLANS)
def test_plans_have_what_is_vouched_for(name, norm):
    for stage in plans.by_name(name, norm, 10):
        facts.check_use(stage.attack, threats.by_name(norm)(1.0))


def test_distances_are_those_of_pixels():
    stage = Stage("a", attacks.through(attacks.bim(3)), unvouched=True)
    with pytest.raises(ValueError, match="^threat=ColourShift limits parameters"):
        evaluate.distances(MODEL, IMAGES, LABELS, threats.ColourShift(0.5), stage)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
def test_plans_of_distances_have_what_minimises(norm):
    for stage in evaluate.nearest(norm).stages:
        facts.check_use(stage.attack, threats.by_name(norm)(1.0), finds=facts.NEAREST)
