"""Sparse rules against a few lines of NumPy, at gradients of any size."""

import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import optim, threats

SIZE = 20


def gradient(seed=0):
    return np.random.default_rng(seed).normal(size=SIZE)


def moved(rule, grad, x=None, threat=None):
    """What a rule adds to the iterate for a gradient to climb."""
    x = jnp.full(len(grad), 0.5) if x is None else jnp.asarray(x)
    rule = rule(threats.L1(0.3) if threat is None else threat)
    grad = jnp.asarray(grad, jnp.float32)
    return np.asarray(rule.update(-grad, rule.init(x), x)[0])


@pytest.mark.parametrize(
    ("percentile", "size", "count"),
    [
        (0, 20, 20),
        (75, 20, 5),
        (81, 20, 4),
        (99, 20, 1),
        (99.25, 1000, 8),
        (99.1, 1000, 9),  # In floats 1000 * (1 - 0.991) is more than 9,
        (99.9, 1000, 1),  # and this one less than 1.
    ],
)
def test_the_largest_share_of_the_gradient_moves_equally(percentile, size, count):
    grad = np.random.default_rng(1).normal(size=size)
    found = moved(optim.sparse_sign(0.2, percentile), grad)
    expected = np.zeros(size)
    largest = np.argsort(-np.abs(grad))[:count]
    expected[largest] = 0.2 * 0.3 * np.sign(grad[largest]) / count
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("rule", [optim.sparse_sign(0.2, 75), optim.l1_normalised(3.0)])
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e30])
def test_the_size_of_the_gradients_does_not_matter(rule, scale):
    np.testing.assert_allclose(
        moved(rule, scale * gradient()), moved(rule, gradient()), rtol=1e-5
    )


def test_l1_normalised_is_the_gradient_at_its_length():
    expected = 3.0 * gradient() / np.abs(gradient()).sum()
    found = moved(optim.l1_normalised(3.0), gradient())
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_coordinates_that_the_box_stops_leave_their_place_to_others():
    grad = np.array([4.0, -3.0, 2.0, -1.0])
    box = {"lower": jnp.array([0.0, 0.5, 0.0, 0.0]), "upper": 0.9}
    x = [0.9, 0.5, 0.5, 0.5]  # At the upper face, at the lower face, inside twice.
    found = moved(optim.sparse_sign(1.0, 75), grad, x, threats.L1(0.3, **box))
    np.testing.assert_allclose(found, [0, 0, 0.3, 0], atol=1e-7)
    away = moved(optim.sparse_sign(1.0, 75), -grad, x, threats.L1(0.3, **box))
    np.testing.assert_allclose(away, [-0.3, 0, 0, 0], atol=1e-7)


def test_zeros_do_not_move_and_the_others_share_the_step():
    grad = np.array([0.0, 2.0, 0.0, -1.0])
    found = moved(optim.sparse_sign(1.0, 25), grad)
    np.testing.assert_allclose(found, [0, 0.15, 0, -0.15], rtol=1e-6)
    for rule in (optim.sparse_sign(1.0, 25), optim.l1_normalised(3.0)):
        assert (moved(rule, np.zeros(4)) == 0).all()


def test_of_equal_entries_the_first_move_and_infinite_steps_are_numbers_elsewhere():
    grad = np.array([1.0, -1.0, 1.0, 1.0])
    found = moved(optim.sparse_sign(1.0, 50), grad, threat=threats.L1(jnp.inf))
    np.testing.assert_array_equal(found, [np.inf, -np.inf, 0, 0])


@pytest.mark.parametrize("bad", [-1, 100, float("nan"), "99", None])
def test_percentiles_that_are_refused(bad):
    with pytest.raises(ValueError, match=r"percentile=.*; expected a number in \[0, 1"):
        optim.sparse_sign(0.1, bad)


@pytest.mark.parametrize(
    "make", [lambda s: optim.sparse_sign(s, 99), optim.l1_normalised]
)
@pytest.mark.parametrize("bad", [0, -0.1, float("inf"), "0.1", None])
def test_step_sizes_that_are_refused(make, bad):
    with pytest.raises(ValueError, match=r"step.*=.*; expected a finite number"):
        make(bad)


def test_sparse_signs_are_for_l1():
    with pytest.raises(ValueError, match=r"threat=L2; expected threats.L1.*steepest"):
        optim.sparse_sign(0.1, 99)(threats.L2(1.0))
