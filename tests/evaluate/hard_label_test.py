"""The search that sees labels alone: what it reads, and how far it gets."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from robust_jax import threats
from robust_jax.core import drive, lift
from robust_jax.core.types import Untargeted
from robust_jax.evaluate.hard_label import hard_label
from tests.evaluate.audit import scenes


def label_only(whether, x):
    """The affine net's logits, or nothing but which is the largest."""
    logits = scenes.net()(x)
    return jnp.where(whether, jax.nn.one_hot(jnp.argmax(logits), len(logits)), logits)


@functools.cache
def searched(whether=False, threat=None):
    x, labels, _ = scenes.data()
    keys = lift.item_keys(0, np.arange(len(x)))
    model = Partial(label_only, jnp.asarray(whether))
    run = drive.traced(hard_label(400))
    threat = threats.Linf(scenes.EPS) if threat is None else threat
    return run(keys, model, threat, x, Untargeted(labels))


def test_labels_are_all_that_it_reads():
    with_scores, without = searched(False), searched(True)
    np.testing.assert_array_equal(with_scores.forwards, without.forwards)
    # Where nothing is found the scores do choose which point is returned.
    found = np.asarray(without.margin) >= 0
    np.testing.assert_array_equal(with_scores.x_adv[found], without.x_adv[found])


def test_it_breaks_nearly_all_that_can_be_broken():
    result = searched(True)
    broken = np.asarray(result.margin) >= 0
    assert not (broken & ~scenes.can_be_broken()).any()
    assert broken.sum() >= 0.9 * scenes.can_be_broken().sum()
    assert (np.asarray(result.distance) <= scenes.EPS).all()


def test_it_asks_for_no_gradient():
    assert not np.asarray(searched(True).backwards).any()


def test_it_gives_up_what_is_out_of_reach_and_goes_on_with_what_is_near():
    """A twentieth of the radius: one ray in 20 and more halvings is hopeless."""
    broken = np.asarray(searched().margin) >= 0
    held = np.asarray(searched().forwards)[~broken]
    near = searched(threat=threats.Linf(scenes.EPS / 20))
    given_up = np.asarray(near.forwards)[np.asarray(near.margin) < 0]
    assert np.median(held) > 2 * np.median(given_up)
    assert given_up.min() >= 50
    assert np.median(given_up) <= 65


def test_a_box_without_bounds_is_searched_too():
    unbounded = searched(threat=threats.Linf(scenes.EPS, -np.inf, np.inf))
    broken = np.asarray(unbounded.margin) >= 0
    assert not (broken & ~scenes.can_be_broken()).any()
    assert broken.sum() >= 0.9 * scenes.can_be_broken().sum()
