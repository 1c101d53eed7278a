"""Weights that a model looks up are judged as they are now, not as they were once."""

import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import analysis, attacks, evaluate, threats
from robust_jax.core import drive, lift
from robust_jax.core.types import Untargeted
from robust_jax.losses import objectives

N, WIDTH, CLASSES = 12, 6, 3
DRAWS = np.random.default_rng(0)
IMAGES = DRAWS.uniform(size=(N, WIDTH)).astype(np.float32)
WEIGHTS = jnp.asarray(DRAWS.normal(size=(WIDTH, CLASSES)), jnp.float32)
LABELS = np.argmax(IMAGES @ np.asarray(WEIGHTS), axis=1)
THREAT = threats.Linf(0.02)
PLAN = (evaluate.Stage("fgsm", attacks.fgsm()),)


class Net:
    """Keeps its weights as an attribute, as a notebook's object does."""

    weights = WEIGHTS

    def __call__(self, x):
        return x @ self.weights


def batch_of(net):
    return lambda batch: batch @ net.weights


def by_robustness(net):
    return evaluate.robustness(net, IMAGES, LABELS, THREAT, plan=PLAN, audit=False)


def by_batch(net, _kept={}):  # noqa: B006  The same function at each call.
    model = _kept.setdefault(id(net), batch_of(net))
    return evaluate.robustness(
        model, IMAGES, LABELS, THREAT, plan=PLAN, audit=False, takes="batch"
    )


@pytest.mark.parametrize("judged", [by_robustness, by_batch])
def test_a_net_that_has_changed_is_judged_as_it_is(judged):
    net = Net()
    before = judged(net)
    assert before.clean_accuracy.value == 1 and before.robust_accuracy.value > 0
    net.weights = -WEIGHTS
    after = judged(net)
    wrong = np.argmax(-IMAGES @ np.asarray(WEIGHTS), axis=1) != LABELS
    assert after.clean_accuracy.successes == N - wrong.sum()
    assert after.compilation.lowered == 0  # They are data: nothing compiles again.


def test_claims_distances_and_curves_are_of_the_net_as_it_is():
    net, stage = Net(), evaluate.Stage("ddn", attacks.ddn(20))
    flipped = np.argmax(-IMAGES @ np.asarray(WEIGHTS), axis=1) == LABELS
    for sign, right in ((1, np.ones(N, bool)), (-1, flipped)):
        net.weights = sign * WEIGHTS
        claims = evaluate.confirm(net, THREAT, IMAGES, IMAGES, LABELS)
        assert len(claims.unconfirmed) == right.sum()
        near = evaluate.distances(net, IMAGES, LABELS, threats.L2(np.inf), stage)
        np.testing.assert_array_equal(near.distance > 0, right)
        curve = evaluate.curve(net, IMAGES, LABELS, THREAT, [0.0], attacks.fgsm())
        np.testing.assert_array_equal(~curve.broken[0], right)


@pytest.mark.parametrize("driver", [drive.hosted, drive.traced])
def test_drivers_attack_the_net_as_it_is(driver):
    net, run = Net(), driver(attacks.fgsm())
    keys = lift.item_keys(0, np.arange(N))
    for sign in (1, -1):
        net.weights = sign * WEIGHTS
        own = sign * IMAGES @ np.asarray(WEIGHTS)
        found = run(keys, net, threats.Linf(0.0), IMAGES, Untargeted(LABELS))
        right = np.argmax(own, axis=1) == LABELS
        np.testing.assert_array_equal(np.asarray(found.margin) < 0, right)


def test_analyses_ask_the_net_as_it_is():
    net = Net()
    predict, layer = analysis.predictor(net), batch_of(net)
    for sign in (1, -1):
        net.weights = sign * WEIGHTS
        own = sign * IMAGES @ np.asarray(WEIGHTS)
        np.testing.assert_array_equal(predict(IMAGES), np.argmax(own, axis=1))
        features = analysis.features(layer, IMAGES)
        np.testing.assert_allclose(features, own, rtol=1e-5, atol=1e-6)


KEPT = {"sign": 1.0}
KEYS = lift.item_keys(0, np.arange(N))


def objective(logits, goal):
    """Looks up which way is up."""
    return KEPT["sign"] * objectives.margin(logits, goal)


def won(driver):
    def wins(attack):
        run, net = driver(attack), Net()
        goal = Untargeted(LABELS)
        return np.asarray(run(KEYS, net, WIDE, IMAGES, goal).margin) >= 0

    return wins


def broken(attack):
    plan = (evaluate.Stage("own", attack),)
    report = evaluate.robustness(Net(), IMAGES, LABELS, WIDE, plan=plan, audit=False)
    return report.winner != -1


def broken_along_the_curve(attack):
    return evaluate.curve(Net(), IMAGES, LABELS, WIDE, [0.1], attack).broken[0]


WIDE = threats.Linf(0.1)
WAYS = {
    "hosted": won(drive.hosted),
    "traced": won(drive.traced),
    "robustness": broken,
    "curve": broken_along_the_curve,
}


@pytest.mark.parametrize("way", WAYS)
def test_an_attack_s_own_function_is_that_of_now(way):
    attack, found = attacks.fgsm(objective), []
    for sign in (1.0, -1.0, 1.0):
        KEPT["sign"] = sign
        found.append(WAYS[way](attack))
    up, down, again = found
    assert up.sum() > down.sum()  # The wrong way finds less.
    np.testing.assert_array_equal(up, again)


def test_a_shared_attack_s_own_function_is_that_of_now():
    attack, found = attacks.universal(2, objective=objective), []
    for sign in (1.0, -1.0):
        KEPT["sign"] = sign
        run = drive.shared(attack, batch=N)
        found.append(run(KEYS[0], Net(), WIDE, IMAGES, Untargeted(LABELS)))
    assert np.vdot(*found) < 0  # The other way.
