"""Attributions keep what they promise; covers, parts and layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import analysis, models

SHAPE = (8, 8, 1)
NET = models.by_name("madry_cnn", features=(3, 4), hidden=5)


@pytest.fixture(scope="module")
def score():
    variables = models.init(NET, jax.random.key(0), SHAPE)
    logits_fn = models.logits_fn(NET, variables)
    return lambda x: logits_fn(x)[2]


def test_integrated_gradients_are_complete(score):
    x, base = jax.random.uniform(jax.random.key(1), (2, *SHAPE))
    for baseline in (0.0, base):
        found = analysis.integrated_gradients(score, x, baseline, 512)
        start = jnp.broadcast_to(baseline, x.shape)
        np.testing.assert_allclose(found.sum(), score(x) - score(start), atol=2e-3)


def test_a_pixel_that_counts_for_nothing_gets_nothing():
    def score(x):
        return jnp.tanh(x[0]) * x[1] ** 2

    found = analysis.integrated_gradients(score, jnp.array([0.3, 0.7, 0.9]), 0.1)
    assert found[2] == 0 and np.abs(found[:2]).min() > 1e-3
    noisy = analysis.smooth_grad(score, jnp.ones(3), jax.random.key(0))
    assert noisy[2] == 0


def test_linear_scores_are_told_exactly():
    weights = jnp.arange(4.0)
    x = jnp.array([0.1, 0.2, 0.3, 0.4])

    def score(x):
        return weights @ x

    np.testing.assert_allclose(
        analysis.integrated_gradients(score, x, 0.1, 3), weights * (x - 0.1), rtol=1e-5
    )
    made = analysis.smooth_grad(score, x, jax.random.key(0), samples=2)
    np.testing.assert_allclose(made, weights, rtol=1e-6)


def test_one_step_is_enough_for_a_square():
    """The midpoint rule is exact for gradients that are linear along the way."""
    x = jnp.array([0.1, 0.7])
    found = analysis.integrated_gradients(lambda x: jnp.sum(x**2), x, 0.3, steps=1)
    np.testing.assert_allclose(found, x**2 - 0.09, rtol=1e-5)


def test_smooth_grad_is_the_gradient_of_the_smoothed_score():
    noise, x = 0.5, jnp.array([0.4])
    found = analysis.smooth_grad(
        lambda x: (x**3).sum(), x, jax.random.key(0), noise, 20_000
    )
    np.testing.assert_allclose(found, 3 * (x**2 + noise**2), rtol=0.05)


def test_grad_cam_weighs_the_channels():
    maps = jnp.zeros((2, 2, 2)).at[0, 0, 0].set(3).at[1, 1, 1].set(5)
    gradients = jnp.ones((2, 2, 2)) * jnp.array([2.0, -1.0])
    np.testing.assert_allclose(analysis.grad_cam(maps, gradients), [[6, 0], [0, 0]])


def test_shifts_of_a_layer_reach_the_logits():
    variables = models.init(NET, jax.random.key(0), SHAPE)
    x = jax.random.uniform(jax.random.key(1), (3, *SHAPE))
    run = analysis.from_layer(NET, variables, "Dense_0", SHAPE)
    output, logits = run(x, jnp.zeros((3, 5)))
    expected = jax.vmap(models.logits_fn(NET, variables))(x)
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    last = variables["params"]["Dense_1"]
    shift = jax.random.normal(jax.random.key(2), (3, 5))
    by_hand = jax.nn.relu(output + shift) @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(run(x, shift)[1], by_hand, atol=1e-5)
    with pytest.raises(ValueError, match="Dense_0"):
        analysis.from_layer(NET, variables, "Dense_7", SHAPE)


def test_a_cover_takes_what_it_hides():
    rng = np.random.default_rng(0)
    image, weights = rng.random((2, 6, 7, 1)).astype(np.float32)
    found = analysis.occlude(
        lambda x: (x * weights).sum((1, 2, 3))[:, None], image, 3, 2, 0.25
    )
    np.testing.assert_array_equal(found.tops, [0, 2])
    np.testing.assert_array_equal(found.lefts, [0, 2, 4])
    for i, j in np.ndindex(2, 3):
        covered = image.copy()
        covered[2 * i : 2 * i + 3, 2 * j : 2 * j + 3] = 0.25
        expected = (covered * weights).sum()
        np.testing.assert_allclose(found.scores[i, j, 0], expected, rtol=1e-5)
    ink = analysis.ink_under(image, 3, 2)
    assert ink.shape == (2, 3) and ink[1, 2] == pytest.approx(image[2:5, 4:7].mean())
    with pytest.raises(ValueError, match="size=7 in an image of 6 x 7"):
        analysis.occlude(lambda x: x, image, 7)


def test_a_pixel_counts_what_covers_of_it_cost():
    rng = np.random.default_rng(0)
    image, weights = rng.random((2, 5, 6, 1)).astype(np.float32)
    found = analysis.occlusion(lambda x: (x * weights).sum(), image, 2, 0.25)
    cost, times = np.zeros((2, 5, 6))
    for top, left in np.ndindex(4, 5):
        at = slice(top, top + 2), slice(left, left + 2)
        cost[at] += ((image - 0.25) * weights)[at].sum()
        times[at] += 1
    np.testing.assert_allclose(found, cost / times, atol=1e-5)
    with pytest.raises(ValueError, match="size=6 in an image of 5 x 6"):
        analysis.occlusion(lambda x: x.sum(), image, 6)


def test_parts_that_correspond_change_alike():
    rng = np.random.default_rng(0)
    whole, change = rng.normal(size=(2, 4, 9))
    assert analysis.correspondence(whole, whole + change[:1]) == 0
    covered = whole.copy()
    covered[0, :3] += 1
    covered[1, 2:4] -= 1
    by_hand = (4 + 3 + 3 + 2 + 2 + 0) / 6 / 9  # Pairs of the four images.
    assert analysis.correspondence(whole, covered) == pytest.approx(by_hand)
    with pytest.raises(ValueError, match="expected .n, D. twice"):
        analysis.correspondence(whole, covered[:2])
