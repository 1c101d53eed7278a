"""The search that sees labels alone: what it reads, and how far it gets."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from robust_jax import threats
from robust_jax.core import drive, lift
from robust_jax.core.types import Untargeted
from robust_jax.evaluate.audit.hard_label import hard_label
from tests.evaluate.audit import scenes


def label_only(whether, x):
    """The affine net's logits, or nothing but which is the largest."""
    logits = scenes.net()(x)
    return jnp.where(whether, jax.nn.one_hot(jnp.argmax(logits), len(logits)), logits)


def searched(whether):
    x, labels, _ = scenes.data()
    keys = lift.item_keys(0, np.arange(len(x)))
    model = Partial(label_only, jnp.asarray(whether))
    run = drive.traced(hard_label(400))
    return run(keys, model, threats.Linf(scenes.EPS), x, Untargeted(labels))


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
