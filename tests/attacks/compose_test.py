"""Compositions beside the loops that one would write by hand."""

import functools

import jax
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, models, threats
from robust_jax.attacks import compose
from robust_jax.core import drive, lift
from robust_jax.core.types import AttackResult, Towards, Untargeted
from robust_jax.losses import objectives
from tests import victims

N, SHAPE, K = 12, (4, 3), 5
THREAT = threats.Linf(0.12)
PGD = attacks.pgd(3, 0.5, objectives.margin)
WEAK = attacks.bim(1, 0.3, objectives.margin)
MODEL = victims.two_layer_victim(SHAPE, K, seed=4, scale=2.0)
IMAGES = victims.inputs(SHAPE, N, seed=3)
GOAL = Untargeted(victims.predicted(MODEL, IMAGES))
KEYS = lift.item_keys(0, np.arange(N, dtype=np.uint64))
fold_in = jax.vmap(jax.random.fold_in, (0, None))


@functools.cache
def program(attack):
    return drive.traced(attack)


def ran(attack, place, goal=GOAL):
    """One part of a composition, as NumPy."""
    result = program(attack)(fold_in(KEYS, place), MODEL, THREAT, IMAGES, goal)
    return jax.tree.map(np.asarray, result)


def composed(run):
    """A composition of runs of batches, driven by the host."""
    return jax.tree.map(np.asarray, run(KEYS, MODEL, THREAT, IMAGES, GOAL))


def assert_picked(result, parts, picked):
    """Example n comes from part picked[n], bit by bit."""
    for n, part in enumerate(picked):
        np.testing.assert_array_equal(result.x_adv[n], parts[part].x_adv[n])
        np.testing.assert_array_equal(result.margin[n], parts[part].margin[n])
        np.testing.assert_array_equal(result.distance[n], parts[part].distance[n])


def test_strongest_of_keeps_the_largest_margin_and_pays_for_all():
    parts = [ran(PGD, 0), ran(WEAK, 1), ran(PGD, 2)]
    result = composed(compose.strongest_of(program(PGD), program(WEAK), program(PGD)))
    picked = np.argmax([part.margin for part in parts], axis=0)
    assert len(set(picked)) > 1
    assert_picked(result, parts, picked)
    np.testing.assert_array_equal(result.forwards, sum(p.forwards for p in parts))
    np.testing.assert_array_equal(result.backwards, sum(p.backwards for p in parts))


def test_of_equal_margins_the_earlier_runs_stays():
    def run_to(place):
        margin = np.array([1.0, float(place), -1.0], np.float32)
        x_adv, cost = np.full((3, 2), float(place)), np.ones(3, np.int32)
        return lambda *_: AttackResult(x_adv, margin, 0 * margin, cost, cost)

    keys = lift.item_keys(0, np.arange(3, dtype=np.uint64))
    result = compose.strongest_of(run_to(1), run_to(2))(keys, *[None] * 4)
    np.testing.assert_array_equal(result.x_adv[:, 0], [1, 2, 1])
    result = compose.then_if_failed(run_to(1), run_to(2))(keys, *[None] * 4)
    np.testing.assert_array_equal(result.x_adv[:, 0], [1, 1, 1])


def test_restarts_are_the_strongest_of_the_same():
    parts = [ran(PGD, place) for place in range(3)]
    result = composed(compose.restarts(program(PGD), 3))
    picked = np.argmax([part.margin for part in parts], axis=0)
    assert len(set(picked)) == 3
    assert_picked(result, parts, picked)


def test_then_if_failed_spares_what_is_won():
    parts = [ran(WEAK, 0), ran(PGD, 1)]
    won = parts[0].margin >= 0
    assert 0 < won.sum() < N and (parts[1].margin[~won] >= 0).any()
    assert (parts[1].margin[won] > parts[0].margin[won]).any()  # ... and not taken.
    result = composed(compose.then_if_failed(program(WEAK), program(PGD)))
    margins = np.where(
        won, [np.full(N, np.inf), np.zeros(N)], [p.margin for p in parts]
    )
    assert_picked(result, parts, np.argmax(margins, axis=0))
    spent = parts[0].forwards + np.where(won, 0, parts[1].forwards)
    np.testing.assert_array_equal(result.forwards, spent)


def test_then_if_failed_does_not_begin_a_run_that_nobody_needs():
    def never(key, logits_fn, threat, x, goal):
        raise AssertionError("this run was begun")

    wrong = Untargeted((GOAL.label + 1) % K)
    run = compose.then_if_failed(program(WEAK), never)
    assert (run(KEYS, MODEL, THREAT, IMAGES, wrong).margin >= 0).all()
    with pytest.raises(AssertionError, match="begun"):
        composed(run)


def test_over_targets_goes_through_the_likeliest_wrong_classes():
    logits = np.array(jax.vmap(MODEL)(IMAGES))
    logits[np.arange(N), GOAL.label] = -np.inf
    order = np.argsort(-logits, axis=1)
    spent, won = np.ones(N, int), np.zeros(N, bool)
    best = np.full(N, -np.inf)
    for place in range(3):
        part = ran(PGD, place, Towards(GOAL.label, order[:, place].astype(np.int32)))
        spent += np.where(won, 0, part.forwards)
        best = np.where(won, best, np.maximum(best, part.margin))
        won |= part.margin >= 0
    result = composed(compose.over_targets(program(PGD), 3))
    np.testing.assert_array_equal(result.margin, best)
    np.testing.assert_array_equal(result.forwards, spent)
    assert 0 < won.sum() < N


def test_over_targets_takes_what_classes_there_are():
    model = victims.two_layer_victim(SHAPE, 2, seed=4, scale=2.0)
    goal = Untargeted(victims.predicted(model, IMAGES))
    result = compose.over_targets(program(PGD), 9)(KEYS, model, THREAT, IMAGES, goal)
    assert (result.forwards <= 2 + PGD.steps).all()
    run = compose.over_targets(program(PGD), 9)
    with pytest.raises(ValueError, match="goal=Towards; expected Untargeted"):
        run(KEYS, model, THREAT, IMAGES, Towards(GOAL.label, GOAL.label))


def test_one_example_traced_is_the_batch_on_the_host():
    def nested(driver):
        return compose.then_if_failed(
            driver(WEAK), compose.over_targets(compose.restarts(driver(PGD), 2), 2)
        )

    hosted = composed(nested(program))
    one = jax.jit(lift.over_examples(nested(drive.run)))
    traced = one(KEYS, MODEL, THREAT, IMAGES, GOAL)
    for ours, theirs in zip(traced, hosted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: compose.restarts(drive.run(PGD), 0), "times=0; expected an integer"),
        (lambda: compose.over_targets(drive.run(PGD), 0), "targets=0; expected an"),
        (compose.strongest_of, r"runs=\(\); expected at least one"),
        (compose.then_if_failed, r"runs=\(\); expected at least one"),
    ],
)
def test_bad_arguments(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def users_train_step(apply):
    """As the README has it: 15 lines of a user's own code."""
    diverse = attacks.input_diversity()
    attack = attacks.pgd(2, 0.5, objectives.margin, gradient=diverse)
    find = lift.over_examples(attacks.restarts(drive.run(attack), 5))

    def loss(variables, key, images, labels):
        net, keys = Partial(apply, variables), jax.random.split(key, len(labels))
        x_adv = find(keys, net, THREAT, images, Untargeted(labels)).x_adv
        logits = jax.vmap(net)(jax.lax.stop_gradient(x_adv))
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), x_adv

    @jax.jit
    def train_step(variables, key, images, labels):
        found = jax.value_and_grad(loss, has_aux=True)(variables, key, images, labels)
        return found, jax.tree.map(lambda w, g: w - 0.1 * g, variables, found[1])

    return train_step


@pytest.mark.parametrize(
    "kind", [pytest.param("plain function", marks=pytest.mark.full), "Linen net"]
)
def test_inside_a_users_train_step(kind):
    images = victims.inputs((6, 5, 1), 6, seed=3)
    if kind == "plain function":
        apply = victims.two_layers
        variables = victims.two_layer_victim((6, 5, 1), K, scale=2.0).args[0]
    else:
        module = models.MLP(num_classes=K, hidden=(16,))
        apply = models.Apply(module)
        variables = models.init(module, jax.random.key(1), (6, 5, 1))
    net = Partial(apply, variables)
    labels = victims.predicted(net, images)
    train_step = users_train_step(apply)
    ((value, x_adv), grad), updated = train_step(
        variables, jax.random.key(0), images, labels
    )

    def plain_loss(variables):
        logits = jax.vmap(Partial(apply, variables))(x_adv)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean()

    expected, expected_grad = jax.value_and_grad(plain_loss)(variables)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for a, b in zip(*map(jax.tree.leaves, (grad, expected_grad)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    moved = np.abs(x_adv - images).max((1, 2, 3))
    assert (moved <= 0.12 + 1e-6).all() and (moved > 0.05).mean() > 0.8
    clean = optax.softmax_cross_entropy_with_integer_labels(
        jax.vmap(net)(images), labels
    )
    assert value > clean.mean()
    after = jax.tree.map(lambda w, g: w - 0.1 * g, variables, expected_grad)
    for a, b in zip(*map(jax.tree.leaves, (updated, after)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
