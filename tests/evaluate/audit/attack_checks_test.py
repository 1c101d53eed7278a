"""Each check that attacks again: an evaluation that it flags, and one that it does not.

The honest evaluation is the affine net's, whose robust points are known.
"""

import functools

import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.evaluate import Stage, each_wrong_class, plans
from robust_jax.evaluate.audit import (
    attack_checks,
    ladder,
    run_audit,
    search_checks,
    tactics,
)
from robust_jax.evaluate.audit.finding import FLAG, PASS, SKIPPED, checks_of
from robust_jax.evaluate.hard_label import hard_label
from robust_jax.evaluate.selection import near
from robust_jax.losses import objectives
from tests.evaluate.audit import scenes
from tests.evaluate.audit.scenes import (
    KILLED,
    KILLED_FAR_OFF,
    KILLED_OFF_DATA,
    NOTHING_BROKEN,
    N,
)

NUMBERS = (8, 9, 10, 11, 12, 13, 14, 17)
CHECKS = checks_of(attack_checks, search_checks)


@functools.cache
def honest():
    return scenes.bench()


@functools.cache
def untried(how=scenes.HONEST):
    """A plan that broke nothing, on the honest net or on one that hides."""
    return scenes.bench(scenes.net(how), winner=NOTHING_BROKEN)


def test_the_problem_has_robust_points_and_others():
    assert 0.2 < scenes.can_be_broken().mean() < 0.8


@pytest.mark.parametrize("check", CHECKS)
def test_an_honest_evaluation_passes(check):
    finding = check(honest())
    assert finding.verdict == PASS, finding.says


def test_the_numbers_are_in_order():
    found = tuple(check(honest()).number for check in CHECKS)
    assert found == NUMBERS


@pytest.mark.parametrize(
    "check",
    [
        attack_checks.more_budget,
        attack_checks.order_of_strength,
        search_checks.black_box,
        search_checks.transferred,
        search_checks.labels_alone,
    ],
)
def test_a_plan_that_broke_nothing_is_flagged(check):
    finding = check(untried())
    assert finding.verdict == FLAG
    assert finding.value > 0.1


@pytest.mark.parametrize(
    "check",
    [
        attack_checks.monotone_in_eps,
        attack_checks.random_noise,
        search_checks.black_box,
        search_checks.transferred,
        search_checks.labels_alone,
        attack_checks.unconstrained,
    ],
)
def test_a_killed_gradient_is_flagged(check):
    assert check(untried(KILLED)).verdict == FLAG


def test_noise_that_comes_closer_than_gradients_is_flagged_without_a_success():
    # What can be broken has been: noise gains nothing, but it beats the gradients.
    killed = scenes.bench(scenes.net(KILLED))
    finding = attack_checks.random_noise(killed)
    assert finding.verdict == FLAG
    assert " breaks 0 " in finding.says


def test_noise_beyond_a_success_of_gradients_counts_for_nothing():
    """In a large ball a start is a success now and then, and noise a larger one."""
    wide = {"threat": threats.Linf(0.4), "winner": np.zeros(scenes.N, int)}
    killed = scenes.bench(scenes.net(KILLED), **wide)
    runs = [*ladder.restarts(killed, 1), ladder.longest(killed)]
    left = ~np.any([ladder.broke(run) for run in runs], axis=0)
    assert not left.all()
    assert attack_checks.random_noise(killed).value <= left.mean()


def test_one_step_that_beats_many_is_flagged():
    # The plan broke all that can be broken: it is the inversion that is flagged.
    finding = attack_checks.order_of_strength(scenes.bench(scenes.net(KILLED_OFF_DATA)))
    assert finding.verdict == FLAG
    assert finding.value == 0


def test_robustness_that_rises_with_eps_is_flagged():
    # Half of eps stays where the net shows its gradient, all of eps does not.
    far = scenes.bench(scenes.net(KILLED_FAR_OFF), threat=threats.Linf(0.19))
    finding = attack_checks.monotone_in_eps(far)
    assert finding.verdict == FLAG
    assert finding.value > 0.1


@pytest.mark.parametrize("begins_without_gradients", [False, True])
@pytest.mark.parametrize(("won", "verdict"), [(0, PASS), (3, FLAG)])
def test_what_the_plans_own_search_won_counts(won, verdict, begins_without_gradients):
    """After all gradients; another search that came before them changes nothing."""
    broken, last = scenes.can_be_broken(), 1 + begins_without_gradients
    winner = np.where(broken, last - 1, -1)
    winner[np.flatnonzero(broken)[:won]] = last
    stages = [
        scenes.stage(winner == last - 1),
        scenes.stage(winner >= 0, with_gradients=False),
    ]
    plan = [APGD, Stage("s", attacks.square(1000))]
    if begins_without_gradients:
        stages.insert(0, scenes.stage(winner < -1, with_gradients=False))
        plan.insert(0, Stage("before", attacks.square(1000)))
    bench = scenes.bench(winner=winner, stages=stages, plan=tuple(plan))
    finding = search_checks.black_box(bench)
    assert finding.verdict == verdict
    assert finding.value == won / scenes.N
    assert bench.forwards == 0 and finding.points == scenes.N


def test_a_search_that_came_before_all_gradients_proves_nothing():
    winner = np.where(scenes.can_be_broken(), 0, -1)
    stages = [
        scenes.stage(winner == 0, with_gradients=False),
        scenes.stage(winner == 0),
    ]
    plan = (Stage("s", attacks.square(1000)), APGD)
    bench = scenes.bench(winner=winner, stages=stages, plan=plan)
    assert search_checks.black_box(bench).verdict == PASS
    assert bench.forwards > 0


def test_a_surrogate_that_was_given_is_used():
    # The honest net as surrogate of the one without gradients.
    bench = scenes.bench(
        scenes.net(KILLED), winner=NOTHING_BROKEN, surrogate=scenes.net()
    )
    finding = search_checks.transferred(bench)
    assert finding.verdict == FLAG
    assert finding.value == pytest.approx(scenes.can_be_broken().mean(), abs=0.02)


@pytest.mark.parametrize("check", CHECKS)
def test_without_right_examples_there_is_nothing_to_check(check):
    finding = check(scenes.bench(clean=np.zeros(scenes.N, bool)))
    assert finding.verdict == SKIPPED
    assert np.isnan(finding.value)


@pytest.mark.parametrize(("won", "verdict"), [(0, PASS), (4, FLAG)])
def test_what_the_plans_search_by_labels_won_counts(won, verdict):
    broken = scenes.can_be_broken()
    winner = np.where(broken, 0, -1)
    winner[np.flatnonzero(broken)[:won]] = 1
    bench = searched(WHOLE, winner)
    finding = search_checks.labels_alone(bench)
    assert finding.verdict == verdict, finding.says
    assert bench.forwards == 0
    assert finding.value == won / scenes.N and finding.points == scenes.N


APGD = Stage("g", attacks.apgd())
WHOLE = Stage("whatever", hard_label(300))


def searched(last, winner, *, model=None, **fields):
    """A plan of gradients and of one more stage, which asked for none."""
    stages = [
        scenes.stage(winner == 0),
        scenes.stage(winner >= 0, with_gradients=False),
    ]
    fields = {"winner": winner, "stages": stages, "plan": (APGD, last), **fields}
    return scenes.bench(model, **fields)


WEAK = {
    "few": Stage("labels 300", hard_label(299)),
    "one": Stage("labels 300", hard_label(1)),
    "spared": Stage("labels 300", hard_label(300), only=near(0.5)),
    "towards": Stage("labels 300", hard_label(300), each_wrong_class),
    "scores": Stage("labels 300", attacks.square(300)),
}


@pytest.mark.parametrize("weak", WEAK)
def test_a_weaker_search_of_the_plan_is_no_evidence(weak):
    """Check 14 searches by itself, and finds what the plan left."""
    bench = searched(WEAK[weak], NOTHING_BROKEN)
    finding = search_checks.labels_alone(bench)
    assert finding.verdict == FLAG and finding.value > 0.1
    assert bench.forwards > 0 and finding.says.startswith("A search of 300 queries")


@pytest.mark.parametrize(
    "weak",
    [
        Stage("square", attacks.square(299)),
        Stage("square", attacks.square(1000), only=near(0.5)),
        Stage("square", attacks.square(1000, objective=objectives.cross_entropy)),
        WHOLE,
    ],
    ids=["few", "spared", "cross entropy", "labels"],
)
def test_a_weaker_search_by_scores_is_no_evidence(weak):
    killed = searched(weak, NOTHING_BROKEN, model=scenes.net(KILLED))
    finding = search_checks.black_box(killed)
    assert finding.verdict == FLAG and killed.forwards > 0


def test_the_searches_of_plans_by_name_stand_for_those_of_the_audit():
    for name, attack in (
        ("swift", hard_label(300)),
        ("basic", hard_label(300)),
        ("strongest", hard_label(300)),
        ("standard", attacks.square(300)),
    ):
        assert tactics.stands_for(plans.by_name(name, "linf")[-1], attack), name


def test_a_search_that_a_limit_cut_short_is_no_evidence():
    bench = searched(WHOLE, NOTHING_BROKEN)
    bench.subject.stages[1].unfinished = 1
    assert search_checks.labels_alone(bench).verdict == FLAG


def test_what_a_search_by_labels_won_before_gradients_is_not_held_against_them():
    winner = np.where(scenes.can_be_broken(), 0, -1)
    stages = [scenes.stage(winner == 0, with_gradients=False)]
    stages += [scenes.stage(winner == 0), *stages]
    plan = (WHOLE, APGD, WHOLE)
    bench = scenes.bench(winner=winner, stages=stages, plan=plan)
    finding = search_checks.labels_alone(bench)
    assert (finding.verdict, finding.value, bench.forwards) == (PASS, 0, 0)


def test_a_plan_of_labels_alone_has_nothing_to_compare():
    winner = np.where(scenes.can_be_broken(), 0, -1)
    stages = [scenes.stage(winner == 0, with_gradients=False)] * 2
    bench = scenes.bench(winner=winner, stages=stages, plan=(WHOLE, WHOLE))
    assert search_checks.labels_alone(bench).verdict == SKIPPED
    assert bench.forwards == 0


@pytest.mark.parametrize("budget", [1, 1e9])
def test_what_the_plan_has_searched_costs_the_audit_nothing(budget):
    """All points of the plan are told, and more are not asked, whatever is left."""
    subject = searched(WHOLE, np.where(scenes.can_be_broken(), 0, -1)).subject
    audit = run_audit(subject, budget=budget, checks=[search_checks.labels_alone])
    (finding,) = audit.findings
    assert (finding.verdict, finding.points, audit.points) == (PASS, N, N)
    assert audit.forwards == audit.backwards == 0
