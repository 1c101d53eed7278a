"""Factors of variation: planted in coordinates, and moved in images."""

import numpy as np
import pytest

from robust_jax import analysis

RNG = np.random.default_rng(0)
FACTOR = RNG.normal(size=600)


def test_a_planted_coordinate_explains_its_factor_and_others_nothing():
    features = RNG.normal(size=(600, 5))
    features[:, 3] = 4 - 2 * FACTOR
    features[:, 4] = 1.0
    found = analysis.explained(features, FACTOR)
    assert found[3] == pytest.approx(1) and found[4] == 0
    assert found[:3].max() < 0.05


def test_alone_it_is_the_squared_correlation():
    mixed = (FACTOR + RNG.normal(size=600))[:, None]
    expected = np.corrcoef(mixed[:, 0], FACTOR)[0, 1] ** 2
    assert analysis.explained(mixed, FACTOR)[0] == pytest.approx(expected)


def test_a_rotated_layer_knows_the_factor_while_no_unit_does():
    features = RNG.normal(size=(600, 30))
    features[:, 0] = FACTOR
    turned = features @ analysis.random_rotation(30, 0)
    assert analysis.explained(turned, FACTOR).max() < 0.5
    assert analysis.explained_by_all(turned, FACTOR) > 0.99


def test_nothing_is_explained_of_unseen_noise():
    noise = RNG.normal(size=(600, 20))
    assert analysis.explained_by_all(noise, FACTOR) < 0.05


def test_a_layer_that_never_varies_explains_nothing():
    assert analysis.explained_by_all(np.ones((600, 4)), FACTOR) == 0


def test_classes_one_hot():
    classes = np.eye(3)[RNG.integers(0, 3, 600)]
    assert analysis.explained_by_all(classes, classes) > 0.99
    # Of three equal classes the first is a third, and half of what it is not.
    assert analysis.explained(classes, classes) == pytest.approx([0.5] * 3, abs=0.05)


@pytest.fixture
def bar():
    """An upright bar of three pixels' width."""
    images = np.zeros((40, 15, 15, 1), np.float32)
    images[:, 3:12, 6:9] = 1
    return images


def test_shifts_move_the_middle(bar):
    made = analysis.shifted(bar, 3, np.random.default_rng(1))
    columns = np.arange(15)
    ink = made.images[..., 0].sum(axis=1)
    middle = ink @ columns / ink.sum(axis=1)
    np.testing.assert_allclose(middle, 7 + made.amount, atol=1e-4)
    assert np.abs(made.amount).max() <= 3 and made.amount.std() > 1


def test_angles_turn_the_axis(bar):
    made = analysis.rotated(bar, 40, np.random.default_rng(1))
    rows, columns = np.mgrid[:15, :15] - 7
    for image, degrees in zip(made.images[..., 0], made.amount, strict=True):
        spread = np.cov(
            np.stack([rows.ravel(), columns.ravel()]), aweights=image.ravel()
        )
        _, axes = np.linalg.eigh(spread)
        tilt = np.degrees(np.arctan(axes[1, 1] / axes[0, 1]))
        assert tilt == pytest.approx(degrees, abs=3)


def test_strokes_are_widened_by_the_amount_on_each_side(bar):
    made = analysis.thickened(bar, 1, np.random.default_rng(1))
    width = made.images[:, 7, :, 0].sum(axis=1)
    np.testing.assert_allclose(width, 3 + 2 * made.amount, atol=1e-5)


def test_two_halves_need_four_images():
    with pytest.raises(ValueError, match="3 images; expected at least 4"):
        analysis.explained_by_all(np.zeros((3, 2)), np.zeros(3))
