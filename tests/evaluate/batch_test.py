"""One attack on a batch of a user's, by one call."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import robust_jax as rj
from robust_jax import attacks, threats
from robust_jax.core import drive, ids, lift
from robust_jax.core.types import Reach, Untargeted
from tests import victims

N, SHAPE, CLASSES = 70, (4, 4), 3  # Two tiles, the second one with few examples.
NET = victims.affine_victim(SHAPE, CLASSES)
IMAGES = victims.inputs(SHAPE, N)
LABELS = victims.predicted(NET, IMAGES)
THREAT, PGD = threats.Linf(0.1), attacks.pgd(4, 0.4)


@functools.cache
def made():
    return rj.attack(PGD, NET, IMAGES, LABELS, THREAT)


def same(one, other):
    return all(map(np.array_equal, one, other))


def test_it_is_what_driver_keys_ids_and_goal_give():
    keys = lift.item_keys(0, ids.example_ids(IMAGES, LABELS))
    run = lift.in_tiles(drive.auto(PGD))
    assert same(made(), run(keys, NET, THREAT, IMAGES, Untargeted(LABELS)))
    assert 0 < (made().margin >= 0).sum() < N


def test_an_image_does_not_know_the_others():
    some = np.random.default_rng(0).permutation(N)[:5]
    part = rj.attack(PGD, NET, IMAGES[some], LABELS[some], THREAT)
    assert same(part, [field[some] for field in made()])


def test_a_target_must_be_reached():
    targets = (LABELS + 1) % CLASSES
    keys = lift.item_keys(3, ids.example_ids(IMAGES, LABELS))
    run = lift.in_tiles(drive.auto(PGD))
    wide = threats.Linf(0.4)
    expected = run(keys, NET, wide, IMAGES, Reach(targets))
    found = rj.attack(PGD, NET, IMAGES, LABELS, wide, targets=targets, seed=3)
    assert same(found, expected)
    taken = victims.predicted(NET, found.x_adv)
    assert (taken == targets)[found.margin > 0].all() and (found.margin > 0).any()


@pytest.mark.parametrize("cap", [np.inf, 3.0])
def test_of_minimum_norm_the_least_distance_is_found(cap):
    found = rj.attack(attacks.ddn(30), NET, IMAGES, LABELS, threats.L2(cap))
    first = rj.attack(attacks.ddn(30), NET, IMAGES, LABELS, threats.L2(np.inf),
                      to_the_end=False)  # fmt: skip
    assert np.isfinite(found.distance).all()
    assert found.distance.mean() < 0.95 * first.distance.mean()


def test_an_attack_may_be_a_name_and_a_net_may_take_batches():
    one = rj.attack(attacks.fgsm(), NET, IMAGES, LABELS, THREAT)
    weights = NET.args[0]
    net = Partial(
        lambda w, x: x.reshape(len(x), -1) @ w.reshape(CLASSES, -1).T, weights
    )
    two = rj.attack("fgsm", net, IMAGES, LABELS, THREAT, takes="batch")
    np.testing.assert_allclose(one.x_adv, two.x_adv, atol=1e-6)


def keyed(x, key):
    return NET(x) + 0.01 * jax.random.normal(key, (CLASSES,))


def test_of_a_random_net_the_mean_is_attacked():
    found = rj.attack(PGD, keyed, IMAGES, LABELS, THREAT, takes="example and key")
    assert (
        np.asarray(found.margin >= 0) == np.asarray(made().margin >= 0)
    ).mean() > 0.9


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"attack": "fgsn"}, "unknown attack 'fgsn'; did you mean 'fgsm'"),
        ({"attack": attacks.pgd}, "attack=.*; expected an attack, such as"),
        ({"targets": LABELS[:3]}, r"targets.shape=\(3,\); expected \(70,\)"),
        ({"targets": LABELS + 9}, r"targets\[0\]=.* for a model with 3 outputs"),
        ({"labels": LABELS + 9}, r"labels\[0\]=.* for a model with 3 outputs"),
        ({"images": 255 * IMAGES}, "is outside the threat's box"),
        ({"threat": threats.Linf(8.0)}, "eps=8 exceeds the width 1"),
        ({"threat": 0.1}, "threat=0.1; expected one with its radius"),
        ({"model": lambda x: jax.nn.softmax(NET(x))}, "returns probabilities"),
        ({"model": lambda x: jnp.sum(x)}, r"outputs of shape \(\)"),
        ({"to_the_end": 1}, "to_the_end=1; expected True or False"),
        ({"attack": "ddn"}, "^threat=Linf; expected threats.L2 for ddn, which nobody"),
    ],
)
def test_a_slip_ends_in_a_sentence(given, says):
    usual = {"attack": PGD, "model": NET, "images": IMAGES, "labels": LABELS}
    with pytest.raises((ValueError, TypeError), match=says):
        rj.attack(**{**usual, "threat": THREAT, **given})


def test_under_a_threat_that_nobody_vouches_for_it_runs_if_told_to():
    found = rj.attack("spsa", NET, IMAGES, LABELS, threats.L1(1.0), unvouched=True)
    assert np.isfinite(found.distance).all()
