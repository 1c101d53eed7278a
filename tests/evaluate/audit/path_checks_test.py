"""Each check of paths, seeds and planted targets: where it fires, where it does not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks
from robust_jax.core import incumbent
from robust_jax.core.margin import margin
from robust_jax.evaluate.audit import path_checks, planted
from robust_jax.evaluate.audit.finding import FLAG, PASS, SKIPPED, checks_of
from robust_jax.threats import Linf
from tests.evaluate.audit import scenes
from tests.evaluate.audit.scenes import KILLED, KILLED_OFF_DATA

NUMBERS = (15, 16, 19, 21, 22)
CHECKS = checks_of(path_checks)


@functools.cache
def honest():
    return scenes.bench()


@functools.cache
def forgetful():
    """Timid PGD to the boundary, then to and fro, that keeps its last iterate alone."""
    pgd = attacks.pgd(21, 0.05, lambda logits, goal: -jnp.abs(margin(logits, goal)))

    def step(logits_fn, threat, state):
        empty = incumbent.nothing_yet(state.x)
        return pgd.step(logits_fn, threat, state._replace(best=empty))

    return pgd._replace(step=step, judge=None)


def noisy(sigma, x, key=None):
    """The affine net with noise on its logits; without a key, with none."""
    logits = scenes.hiding(scenes.net().args[0], scenes.HONEST, x)
    if key is None:
        return logits
    return logits + sigma * jax.random.normal(key, logits.shape)


def normalised(x):
    """Batches to logits that depend on the batch."""
    logits = jax.vmap(scenes.net())(x)
    return logits - logits.mean(axis=0)


@pytest.mark.parametrize("check", CHECKS)
def test_an_honest_evaluation_passes(check):
    finding = check(honest())
    expected = SKIPPED if finding.number == 21 else PASS
    assert finding.verdict == expected, finding.says


def test_the_numbers_are_in_order():
    assert tuple(check(honest()).number for check in CHECKS) == NUMBERS


def test_a_success_that_the_attack_forgot_is_flagged():
    finding = path_checks.silent_success(honest(), forgetful())
    assert finding.verdict == FLAG


def test_an_attack_that_has_not_arrived_is_flagged():
    # What cannot be broken is still on its way after 21 steps of eps / 20.
    finding = path_checks.incomplete_optimisation(honest(), forgetful())
    assert finding.verdict == FLAG


def test_an_attack_that_never_moved_is_flagged():
    killed = scenes.bench(scenes.net(KILLED))
    assert path_checks.incomplete_optimisation(killed).verdict == FLAG


@pytest.mark.parametrize("how", [KILLED, KILLED_OFF_DATA])
def test_what_is_planted_behind_a_hidden_gradient_is_not_found(how):
    finding = path_checks.planted_example(scenes.bench(scenes.net(how)))
    assert finding.verdict == FLAG
    assert finding.value < 0.5


@pytest.mark.parametrize(
    "uneven", ["common", "mostly common", "one class", "two classes"]
)
def test_an_honest_net_whose_logits_move_unevenly_is_not_accused(uneven):
    """All logits rise together, one class moves ten times as far, or there are two."""
    own = np.asarray(scenes.net().args[0])
    weights = {
        "common": 0.3 * own + 3 * own[:1],
        "mostly common": 0.02 * own + 3 * own[:1],
        "one class": np.float32([[10], [1], [1]]) * own,
        "two classes": own[:2],
    }[uneven]
    weights = jnp.asarray(weights, jnp.float32)
    bench = scenes.bench(Partial(scenes.hiding, weights, scenes.HONEST))
    finding = path_checks.planted_example(bench)
    assert finding.verdict == PASS, finding.says


def test_many_classes_are_evened_out_along_what_was_seen_to_vary():
    """17 points say nothing of a 17th direction, in which others go far."""
    rng = np.random.default_rng(0)
    weights = (
        rng.normal(size=(500, 64)) * np.where(np.arange(500) < 10, 3, 0.1)[:, None]
    )
    model = Partial(lambda w, x: w @ x, jnp.asarray(weights, jnp.float32))
    x, key = np.full(64, 0.5, np.float32), np.uint32([0, 1])
    plant = planted.plant(model, key, Linf(0.1), x)
    fresh = rng.uniform(0.4, 0.6, size=(300, 64)) @ weights.T @ np.asarray(plant.scale)
    spread = fresh.std(axis=0)
    assert spread.max() < 3 * np.median(spread)


def test_nothing_can_be_planted_in_a_model_that_tells_no_points_apart():
    flat = Partial(scenes.hiding, jnp.zeros((scenes.CLASSES, 16)), scenes.HONEST)
    finding = path_checks.planted_example(scenes.bench(flat))
    assert finding.verdict == FLAG
    assert finding.value == 0


@pytest.mark.parametrize(("sigma", "verdict"), [(1e-3, PASS), (30.0, FLAG)])
def test_majorities_that_samples_do_not_settle_are_flagged(sigma, verdict):
    model = Partial(noisy, jnp.asarray(sigma))
    everything = np.zeros(scenes.N, int)  # So that x_adv alone is judged.
    bench = scenes.bench(model, samples=3, winner=everything)
    finding = path_checks.enough_samples(bench)
    assert finding.verdict == verdict, finding.says


def rippled(level, x):
    """Class 1, but where ripples too short for any step to follow exceed the level."""
    ripples = jnp.sum(jnp.sin(1000 * x))
    return jnp.stack([ripples - level, jnp.zeros(()), jnp.full((), -9.0)])


@pytest.mark.parametrize(("level", "verdict"), [(3.0, FLAG), (20.0, PASS)])
def test_verdicts_by_luck_are_flagged(level, verdict):
    ones = np.ones(scenes.N, np.int32)
    bench = scenes.bench(Partial(rippled, jnp.asarray(level)), labels=ones)
    finding = path_checks.seeds_and_batches(bench)
    assert finding.verdict == verdict, finding.says
    assert (finding.value > 0.2) == (verdict == FLAG)


def test_answers_that_depend_on_the_batch_are_flagged():
    coupled = scenes.bench(batch_model=normalised)
    assert path_checks.seeds_and_batches(coupled).verdict == FLAG
    alone = scenes.bench(batch_model=jax.vmap(scenes.net()))
    assert path_checks.seeds_and_batches(alone).verdict == PASS


@pytest.mark.parametrize("check", CHECKS)
def test_without_right_examples_there_is_nothing_to_check(check):
    finding = check(scenes.bench(clean=np.zeros(scenes.N, bool)))
    assert finding.verdict == SKIPPED
    assert np.isnan(finding.value)
