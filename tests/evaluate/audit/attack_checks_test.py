"""Each check that attacks again: an evaluation that it flags, and one that it does not.

The honest evaluation is the affine net's, whose robust points are known.
"""

import functools

import numpy as np
import pytest

from robust_jax import threats
from robust_jax.evaluate.audit import attack_checks, ladder
from robust_jax.evaluate.audit.subject import FLAG, PASS, SKIPPED
from tests.evaluate.audit import scenes
from tests.evaluate.audit.scenes import (
    KILLED,
    KILLED_FAR_OFF,
    KILLED_OFF_DATA,
    NOTHING_BROKEN,
)

NUMBERS = (8, 9, 10, 11, 12, 13, 14, 17)


@functools.cache
def honest():
    return scenes.bench()


@functools.cache
def untried(how=scenes.HONEST):
    """A plan that broke nothing, on the honest net or on one that hides."""
    return scenes.bench(scenes.net(how), winner=NOTHING_BROKEN)


def test_the_problem_has_robust_points_and_others():
    assert 0.2 < scenes.can_be_broken().mean() < 0.8


@pytest.mark.parametrize("check", attack_checks.CHECKS)
def test_an_honest_evaluation_passes(check):
    finding = check(honest())
    assert finding.verdict == PASS, finding.says


def test_the_numbers_are_in_order():
    found = tuple(check(honest()).number for check in attack_checks.CHECKS)
    assert found == NUMBERS


@pytest.mark.parametrize(
    "check",
    [
        attack_checks.more_budget,
        attack_checks.order_of_strength,
        attack_checks.black_box,
        attack_checks.transferred,
        attack_checks.labels_alone,
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
        attack_checks.black_box,
        attack_checks.transferred,
        attack_checks.labels_alone,
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
    plan = [
        scenes.stage(winner == last - 1),
        scenes.stage(winner >= 0, with_gradients=False),
    ]
    if begins_without_gradients:
        plan.insert(0, scenes.stage(winner < -1, with_gradients=False))
    finding = attack_checks.black_box(scenes.bench(winner=winner, stages=plan))
    assert finding.verdict == verdict
    assert finding.value == won / scenes.N


def test_a_search_that_came_before_all_gradients_proves_nothing():
    winner = np.where(scenes.can_be_broken(), 0, -1)
    plan = [
        scenes.stage(winner == 0, with_gradients=False),
        scenes.stage(winner == 0),
    ]
    finding = attack_checks.black_box(scenes.bench(winner=winner, stages=plan))
    assert finding.verdict == PASS


def test_a_surrogate_that_was_given_is_used():
    # The honest net as surrogate of the one without gradients.
    bench = scenes.bench(
        scenes.net(KILLED), winner=NOTHING_BROKEN, surrogate=scenes.net()
    )
    finding = attack_checks.transferred(bench)
    assert finding.verdict == FLAG
    assert finding.value == pytest.approx(scenes.can_be_broken().mean(), abs=0.02)


@pytest.mark.parametrize("check", attack_checks.CHECKS)
def test_without_right_examples_there_is_nothing_to_check(check):
    finding = check(scenes.bench(clean=np.zeros(scenes.N, bool)))
    assert finding.verdict == SKIPPED
    assert np.isnan(finding.value)


@pytest.mark.parametrize(("won", "verdict"), [(0, PASS), (4, FLAG)])
def test_what_the_plans_search_by_labels_won_counts(won, verdict):
    broken = scenes.can_be_broken()
    winner = np.where(broken, 0, -1)
    winner[np.flatnonzero(broken)[:won]] = 1
    plan = [
        scenes.stage(winner == 0),
        scenes.stage(winner >= 0, with_gradients=False),
    ]
    bench = scenes.bench(winner=winner, stages=plan, by_labels=(1,))
    finding = attack_checks.labels_alone(bench)
    assert finding.verdict == verdict, finding.says
    assert bench.forwards == 0
    assert finding.value == won / scenes.N
