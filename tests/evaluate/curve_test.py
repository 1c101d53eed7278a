"""On an affine victim every radius has a closed form, box included."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, threats
from robust_jax.core.metrics import Proportion
from robust_jax.evaluate import curve
from robust_jax.losses import objectives
from tests import victims

N, SIZE, TILE = 21, 6, 8
MODEL = victims.affine_victim((SIZE,), 2)
IMAGES = victims.inputs((SIZE,), N, seed=5)
RIGHT = victims.predicted(MODEL, IMAGES)
LABELS = np.where(np.arange(N) % 10 == 4, 1 - RIGHT, RIGHT)  # Two are wrong.
RADII = np.linspace(0, 0.3, 16)
ATTACK = attacks.fgsm(objectives.margin)


def swept(images=IMAGES, labels=LABELS, radii=RADII, **options):
    threat = options.pop("threat", threats.Linf(0.3))
    options = {"tile": TILE, "attack": ATTACK, **options}
    return curve(MODEL, images, labels, threat, radii, **options)


@functools.cache
def whole():
    done = []
    return swept(on_items=done.append), done


def best_margins():
    """The largest margin at each radius, shape [R, N]."""
    weights = np.asarray(MODEL.args[0], np.float64)
    slopes = np.where(LABELS == 0, 1, -1)[:, None] * (weights[1] - weights[0])
    room = np.where(slopes > 0, 1 - IMAGES, IMAGES)
    gains = np.abs(slopes) * np.minimum(RADII[:, None, None], room)
    return np.sum(slopes * IMAGES, axis=1) + gains.sum(axis=-1)


def test_every_example_falls_at_the_radius_of_the_closed_form():
    margins = best_margins()
    assert np.abs(margins).min() > 1e-4  # No rounding can decide.
    expected = (margins >= 0) | (LABELS != RIGHT)
    np.testing.assert_array_equal(whole()[0].broken, expected)
    share = expected.mean(axis=1)
    assert share[0] < 0.2 and share[-1] > 0.8 and len(np.unique(share)) > 8


def test_the_curve_falls_from_the_clean_accuracy():
    accuracies = [point.successes for point in whole()[0].accuracies]
    assert accuracies[0] == N - 2 and accuracies == sorted(accuracies, reverse=True)
    assert swept(radii=[0.0]).accuracies == [Proportion(N - 2, N)]


def test_the_order_of_the_radii_is_the_caller_s():
    places = [9, 0, 3, 3]
    some = swept(radii=RADII[places])
    np.testing.assert_array_equal(some.radii, RADII[places])
    np.testing.assert_array_equal(some.broken, whole()[0].broken[places])


def test_the_order_and_number_of_examples_change_nothing():
    some = np.array([20, 4, 7, 1, 0])
    alone = swept(IMAGES[some], LABELS[some])
    np.testing.assert_array_equal(alone.broken, whole()[0].broken[:, some])


def test_an_example_draws_the_same_numbers_at_each_radius():
    """At equal radii PGD goes the same way; with other ids or seeds, another one."""
    pgd = attacks.pgd(1, 0.01, objectives.margin)  # Little but its random start.
    twice = swept(radii=[0.3] * 2, attack=pgd)
    np.testing.assert_array_equal(twice.broken[0], twice.broken[1])
    for changes in ({"seed": 1}, {"ids": np.arange(N)}):
        other = swept(radii=[0.3], attack=pgd, **changes)
        assert (other.broken[0] != twice.broken[0]).any()


def test_costs_count_the_attacked_examples_alone():
    result, done = whole()
    at_the_input = 16 * (N - 2)  # The clean point, the start and FGSM's one iterate.
    assert result.forwards <= 3 * at_the_input
    at_zero = swept(radii=[0.0])
    assert (at_zero.forwards, at_zero.backwards) == (3 * (N - 2), 2 * (N - 2))
    assert sum(done) == 16 * N  # Those that the model gets wrong count at once.


def test_where_all_are_wrong_nothing_is_attacked():
    result = swept(labels=1 - RIGHT)
    assert result.broken.all() and result.broken.shape == (16, N)
    assert (result.forwards, result.backwards) == (0, 0)


def test_the_series_of_a_figure():
    series = whole()[0].to_series()
    np.testing.assert_allclose(series["eps"], RADII)
    for i, point in enumerate(whole()[0].accuracies):
        assert series["accuracy"][i] == point.value
        assert (series["low"][i], series["high"][i]) == point.interval


@pytest.mark.parametrize(
    ("radii", "sentence"),
    [
        ([], r"radii=\[\]; expected a list of at least one radius"),
        (0.1, r"radii=0.1; expected a list"),
        ([[0.1]], r"radii=\[\[0.1\]\]; expected a list"),
        ([0.1, -0.2], "eps=-0.2; expected a finite radius >= 0"),
        ([0.1, np.nan], "eps=nan; expected a finite radius"),
        ([np.inf], "eps=inf; expected a finite radius"),
        ([0.5, 8], "eps=8 exceeds the width 1 of the"),
    ],
)
def test_bad_radii(radii, sentence):
    with pytest.raises(ValueError, match=sentence):
        swept(radii=radii)


def test_bad_examples_and_models():
    with pytest.raises(ValueError, match="outside the threat's box"):
        swept(IMAGES + 1)
    with pytest.raises(
        ValueError, match=r"labels\[\d\]=[78] for a model with 2 outputs"
    ):
        swept(labels=LABELS + 7)
    with pytest.raises(ValueError, match=r"ids.shape=\(3,\); expected \(21,\)"):
        swept(ids=[1, 2, 3])
    constant = Partial(lambda p, x: p + 0 * x[:2], jnp.array([0.25, 0.75]))
    with pytest.raises(ValueError, match="returns probabilities"):
        curve(constant, IMAGES, LABELS, threats.Linf(0.1), RADII, ATTACK, tile=TILE)
