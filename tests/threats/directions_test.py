import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import threats
from robust_jax.threats import L0, L1, L2, Linf

ALL = ["linf", "l2", "l1", "l0"]
CONVEX = ["linf", "l2", "l1"]
D = 8
steepest = jax.jit(lambda ball, grad, x: ball.steepest(grad, x))


@functools.cache
def gradient():
    return np.random.default_rng(0).normal(size=D).astype(np.float32)


@pytest.mark.parametrize(
    ("norm", "dual"), [("linf", 1), ("l2", 2), ("l1", np.inf)], ids=CONVEX
)
def test_climbs_eps_times_the_dual_norm_with_size_eps(norm, dual):
    ball, grad, x = threats.by_name(norm)(0.1), gradient(), np.full(D, 0.5, "f")
    delta = steepest(ball, grad, x)
    np.testing.assert_allclose(
        delta @ grad, 0.1 * np.linalg.norm(grad, dual), rtol=1e-6
    )
    np.testing.assert_allclose(ball.distance(x + delta, x), 0.1, rtol=1e-6)


@pytest.mark.parametrize("norm", ALL)
@pytest.mark.parametrize("scale", [1e-35, 1e35])
def test_the_scale_of_the_gradient_does_not_matter(norm, scale):
    ball, grad, x = threats.by_name(norm)(2.0), gradient(), np.full(D, 0.5, "f")
    expected = steepest(ball, grad, x)
    scaled = steepest(ball, np.float32(scale) * grad, x)
    np.testing.assert_allclose(scaled, expected, rtol=1e-5)
    assert np.abs(expected).max() > 0


@pytest.mark.parametrize("norm", ALL)
@pytest.mark.parametrize("eps", [0.0, 0.5, np.inf])
def test_zero_gradient_gives_zero(norm, eps):
    ball, zeros = threats.by_name(norm)(eps), np.zeros(D, "f")
    np.testing.assert_array_equal(steepest(ball, zeros, zeros), zeros)


@pytest.mark.parametrize("norm", CONVEX)
def test_nan_gradients_are_not_hidden(norm):
    grad = gradient().copy()
    grad[3] = np.nan
    delta = steepest(threats.by_name(norm)(0.5), grad, np.full(D, 0.5, "f"))
    assert np.isnan(delta[3])


def test_l2_keeps_what_holds_a_coordinate_at_its_face():
    x, ball = np.float32([1, 0, 0.5, 0.5]), threats.by_name("l2")(1.0)
    grad = np.float32([4, -4, 4, -4])
    np.testing.assert_allclose(steepest(ball, grad, x), grad / 8, rtol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l1", "l0"])
def test_nothing_is_spent_on_coordinates_at_their_face(norm):
    grad = np.array([9, -9, 3, -2, 9, -9, 1, 0], np.float32)
    x = np.array([1, 0, 0.5, 0.5, 1, 0, 0, 1], np.float32)  # The nines are stuck.
    free = np.array([0, 0, 3, -2, 0, 0, 1, 0], np.float32)
    ball = threats.by_name(norm)(1.0)
    delta = steepest(ball, grad, x)
    np.testing.assert_array_equal(delta, steepest(ball, free, np.full(D, 0.5, "f")))
    assert delta[2] > 0


def test_a_face_does_not_stop_the_way_back_inside():
    delta = steepest(Linf(0.25), np.float32([-1, 1]), np.float32([1, 0]))
    np.testing.assert_array_equal(delta, [-0.25, 0.25])


def test_l1_moves_one_coordinate_and_shares_among_ties():
    x = np.full(4, 0.5, "f")
    delta = steepest(L1(0.5), np.float32([1, -3, 2, 0]), x)
    np.testing.assert_array_equal(delta, [0, -0.5, 0, 0])
    delta = steepest(L1(0.5), np.float32([1, -3, 3, 0]), x)
    np.testing.assert_array_equal(delta, [0, -0.25, 0.25, 0])


def test_l0_crosses_the_box_on_the_steepest_coordinates():
    x = np.full(4, 0.5, "f")
    delta = steepest(L0(2.9, -1.0, 1.0), np.float32([1, -3, 2, 0]), x)
    np.testing.assert_array_equal(delta, [0, -2, 2, 0])
    delta = steepest(L0(2.0), np.float32([1, -1, 1, 1]), x)  # Ties: the first.
    np.testing.assert_array_equal(delta, [1, -1, 0, 0])


@pytest.mark.parametrize("ball", [Linf(np.inf), L2(np.inf)])
def test_infinite_eps_reaches_the_corner_of_the_box(ball):
    x = jnp.full(4, 0.5)
    ahead = x + steepest(ball, jnp.array([2.0, -1.0, 0.0, 1e-3]), x)
    np.testing.assert_array_equal(ball.project(ahead, x), [1, 0, 0.5, 1])
