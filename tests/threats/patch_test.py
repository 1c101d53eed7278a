"""The adversarial patch as a threat."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import threats

SHAPE = (6, 5, 2)


def images(n, seed=0, low=0.0, high=1.0):
    rng = np.random.default_rng(seed)
    return rng.uniform(low, high, size=(n, *SHAPE)).astype(np.float32)


def squares(side):
    """Every square of a side that fits, as masks [H, W, 1]."""
    height, width, _ = SHAPE
    tall, wide = min(side, height), min(side, width)
    for row, column in itertools.product(
        range(height - tall + 1), range(width - wide + 1)
    ):
        mask = np.zeros((height, width, 1), bool)
        mask[row : row + tall, column : column + wide] = True
        yield mask


def inside(mask, x, x0):
    return np.where(mask, np.clip(x, 0, 1), x0)


@pytest.mark.parametrize("side", [0, 1, 2, 3, 5, 6, 9])
def test_projection_is_the_nearest_of_all_squares(side):
    threat = threats.Patch(float(side) + 0.5)
    for x0, x in zip(images(8), images(8, 1, -0.5, 1.5), strict=True):
        found = np.asarray(threat.project(x, x0), np.float64)
        if side == 0:
            np.testing.assert_array_equal(found, x0)
            continue
        distances = [((inside(m, x, x0) - x) ** 2).sum() for m in squares(side)]
        assert ((found - x) ** 2).sum() == pytest.approx(min(distances), rel=1e-5)
        found = found.astype(np.float32)
        assert float(threat.distance(found, x0)) <= side
        np.testing.assert_array_equal(threat.project(found, x0), found)


@pytest.mark.parametrize("side", [1, 2, 4])
def test_steepest_is_the_square_that_climbs_most(side):
    threat = threats.Patch(float(side))
    for x, grad in zip(images(8), images(8, 1, -1.0, 1.0), strict=True):
        step = np.asarray(threat.steepest(grad, x), np.float64)
        gain = np.abs(grad) * np.where(grad > 0, 1 - x, x)
        best = max((gain * m).sum() for m in squares(side))
        full = np.where(np.abs(step) == 1, step, 0)
        climbed = ((np.clip(x + full, 0, 1) - x) * grad).sum()
        assert climbed == pytest.approx(best, rel=1e-5)
        np.testing.assert_array_equal(step - full, (np.sign(grad) - full) / 4)


def test_a_step_repaints_the_square_where_a_patch_has_grown():
    """Though another square climbs more: it would have to begin at nothing."""
    threat, x0 = threats.Patch(2.0), np.full(SHAPE, 0.5, np.float32)
    x, grad = x0.copy(), np.full(SHAPE, 0.1, np.float32)
    x[:2, :2], grad[4:, 3:] = 0.1, 1.0
    first = np.asarray(threat.project(x0 + 0.25 * threat.steepest(grad, x0), x0))
    assert (first[4:, 3:] == 0.75).all() and (first != x0).sum() == 8
    later = np.asarray(threat.project(x + 0.25 * threat.steepest(grad, x), x0))
    np.testing.assert_allclose(later[:2, :2], 0.1 + 0.25 / 4, atol=1e-6)
    assert (later != x0).sum() == 8


def test_steepest_leaves_faces_that_stop_it():
    x, grad = np.ones(SHAPE, np.float32), np.ones(SHAPE, np.float32)
    grad[4, 4] = -0.1
    step = threats.Patch(1.0).steepest(grad, x)
    assert (np.asarray(step[4, 4]) == -1).all() and np.abs(step).sum() == 2


def test_samples_change_one_square_anywhere():
    threat, x0 = threats.Patch(2.0), images(1)[0]
    keys = jax.random.split(jax.random.key(0), 300)
    found = np.asarray(jax.jit(jax.vmap(lambda k: threat.sample(k, x0)))(keys))
    changed = (found != x0).any(-1).reshape(300, -1)
    assert (changed.sum(1) == 4).all()
    assert changed.any(0).all()
    assert len(np.unique(changed, axis=0)) == 5 * 4
    assert (jax.vmap(lambda x: threat.distance(x, x0))(found) == 2).all()


def test_distance_is_the_smallest_square():
    x0 = np.zeros(SHAPE, np.float32)
    for places, side in [
        ([], 0),
        ([(2, 3)], 1),
        ([(0, 0), (0, 3)], 4),
        ([(1, 1), (5, 2)], 5),
    ]:
        x = x0.copy()
        for row, column in places:
            x[row, column, 1] = 1e-6
        assert float(threats.Patch(1.0).distance(x, x0)) == side


def test_paste_puts_the_corner_of_a_canvas_at_a_place():
    threat, x, canvas = threats.Patch(2.0), images(1)[0], images(1, 1)[0]
    expected = x.copy()
    expected[3:5, 2:4] = canvas[:2, :2]
    pasted = threat.paste(x, canvas, jnp.array([3, 2]))
    np.testing.assert_array_equal(pasted, expected)
    np.testing.assert_array_equal(threat.room(x), [4, 3])


@pytest.mark.parametrize("shape", [(7,), (6, 5), (3, 6, 5, 2)])
def test_other_ranks(shape):
    rng = np.random.default_rng(0)
    x0, x = rng.uniform(size=(2, *shape)).astype(np.float32)
    for threat in (threats.Patch(2.0), threats.Patch(jnp.float32(3))):
        found = threat.project(x, x0)
        assert found.shape == shape
        assert 0 < float(threat.distance(found, x0)) <= float(threat.eps)
