import jax
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from robust_jax import threats
from tests.reference import projections as oracle

ALL = ["linf", "l2", "l1", "l0"]
CONVEX = ["linf", "l2", "l1"]
D = 6
apply = jax.jit(lambda ball, x, x0: ball.project(x, x0))


def project(norm, x, x0, eps, lower=0.0, upper=1.0):
    x, x0, *numbers = (np.asarray(a, np.float32) for a in (x, x0, eps, lower, upper))
    return np.asarray(apply(threats.by_name(norm)(*numbers), x, x0))


def case(seed, d=D):
    """A centre often on a face, a point far or near, an eps that mostly binds."""
    rng = np.random.default_rng(seed)
    x0 = np.where(rng.random(d) < 0.3, rng.integers(0, 2, d), rng.random(d))
    far = 10.0 ** rng.uniform(-2, 2)
    x = x0 + far * rng.normal(size=d) * (rng.random(d) < 0.9)
    return rng, x.astype(np.float32), x0.astype(np.float32)


def binding_eps(rng, norm, x, x0):
    if norm == "l0":
        return np.float32(rng.uniform(0, D))
    most = oracle.size(norm, np.clip(x, 0, 1).astype(np.float64) - x0)
    return np.float32(max(most, 1e-3) * rng.uniform(0.01, 1.1))


def feasible_points(rng, norm, x0, eps, around, n):
    """Points of ball and box: spread over the ball, and crowded around one of them."""
    steps = rng.normal(size=(n, D)) * (rng.random((n, D)) < rng.random((n, 1)))
    steps = steps * 10.0 ** rng.uniform(-4, 1, (n, 1))
    starts = np.where(rng.random((n, 1)) < 0.5, x0, around)
    delta = np.clip(starts + steps, 0, 1) - x0
    sizes = np.array([oracle.size(norm, row) for row in delta])
    return x0 + delta * np.minimum(1, eps / np.maximum(sizes, 1e-30))[:, None]


@pytest.mark.parametrize("norm", ALL)
@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1))
def test_projection_is_in_ball_and_box(norm, seed):
    rng, x, x0 = case(seed)
    eps = binding_eps(rng, norm, x, x0)
    found = project(norm, x, x0, eps)
    assert found.min() >= 0 and found.max() <= 1
    assert oracle.size(norm, found.astype(np.float64) - x0) <= eps + D * 6e-8


@pytest.mark.parametrize("norm", CONVEX)
@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_feasible_point_is_nearer(norm, seed):
    rng, x, x0 = case(seed)
    eps = binding_eps(rng, norm, x, x0)
    found = project(norm, x, x0, eps).astype(np.float64)
    others = feasible_points(rng, norm, x0, eps, found, 1000)
    # Of a convex set, exactly the nearest point sees all others at an obtuse angle.
    assert ((others - found) @ (x - found)).max() <= 1e-6 * (1 + np.abs(x).max())


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1))
def test_l0_equals_enumeration(seed):
    rng, x, x0 = case(seed)
    eps = binding_eps(rng, "l0", x, x0)
    found = project("l0", x, x0, eps).astype(np.float64)
    best = oracle.by_enumeration(x.astype(np.float64), x0, eps, 0.0, 1.0)
    distance, least = ((found - x) ** 2).sum(), ((best - x) ** 2).sum()
    np.testing.assert_allclose(distance, least, rtol=1e-5)


def test_l0_gains_count_what_the_box_leaves():
    # The first is further from its centre, but the box stops it at once.
    found = project("l0", [3.0, 0.9], [0.9, 0.0], 1)
    np.testing.assert_array_equal(found, np.float32([0.9, 0.9]))


def test_l0_keeps_a_move_whose_square_underflows():
    x = np.float32([0, 0, 1e-30])
    np.testing.assert_array_equal(project("l0", x, np.zeros(3), 1), x)


def test_l0_ties_go_to_the_first():
    found = project("l0", [0.75] * 4, [0.5] * 4, 2.9)
    np.testing.assert_array_equal(found, np.float32([0.75, 0.75, 0.5, 0.5]))


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_equals_quadratic_programming(norm):
    for seed in range(5):
        rng, x, x0 = case(seed)
        x = np.clip(x, -3, 3).astype(np.float64)
        eps = binding_eps(rng, norm, x, x0)
        args = x, x0.astype(np.float64), float(eps), np.zeros(D), np.ones(D)
        expected = oracle.by_programming(norm, *args)
        np.testing.assert_allclose(project(norm, x, x0, eps), expected, atol=2e-5)


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("share", [1e-3, 0.3, 0.99])
@pytest.mark.parametrize("spread", [1.0, 1e4])
def test_equals_float64_bisection_where_the_box_is_active(norm, share, spread):
    rng = np.random.default_rng(3)
    x0 = np.where(rng.random(784) < 0.5, 0.0, rng.random(784)).astype(np.float32)
    scales = spread ** rng.uniform(-1, 1, 784)  # Breakpoints over many octaves.
    x = (x0 + scales * rng.normal(size=784)).astype(np.float32)
    wide = x.astype(np.float64), x0.astype(np.float64)
    eps = np.float32(share * oracle.size(norm, np.clip(x, 0, 1) - x0))
    expected = oracle.by_bisection(norm, *wide, float(eps), 0.0, 1.0)
    found = project(norm, x, x0, eps)
    if share > 0.1:
        assert np.mean((found <= 0) | (found >= 1)) > 0.3
    np.testing.assert_allclose(found, expected, atol=5e-7 + 1e-7 * eps)
    reached = oracle.size(norm, found.astype(np.float64) - x0)
    np.testing.assert_allclose(reached, eps, rtol=1e-5)


@pytest.mark.parametrize("norm", ALL)
@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1))
def test_idempotent(norm, seed):
    rng, x, x0 = case(seed)
    eps = binding_eps(rng, norm, x, x0)
    once = project(norm, x, x0, eps)
    np.testing.assert_allclose(project(norm, once, x0, eps), once, atol=2e-7)


@pytest.mark.parametrize("norm", ALL)
@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1))
def test_inside_is_left_alone_bit_by_bit(norm, seed):
    _, x, x0 = case(seed)
    x = np.clip(x, 0, 1)
    eps = oracle.size(norm, x.astype(np.float64) - x0) * (1 + 2e-6) + 1e-7
    np.testing.assert_array_equal(project(norm, x, x0, eps), x)


@pytest.mark.parametrize("norm", ALL)
@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1))
def test_zero_and_infinite_eps(norm, seed):
    _, x, x0 = case(seed)
    np.testing.assert_array_equal(project(norm, x, x0, 0), x0)
    np.testing.assert_array_equal(project(norm, x, x0, np.inf), np.clip(x, 0, 1))


@pytest.mark.parametrize("norm", ALL)
def test_zero_displacement_and_zero_eps_at_black_pixels(norm):
    zeros = np.zeros(D)
    np.testing.assert_array_equal(project(norm, zeros, zeros, 0.5), zeros)
    np.testing.assert_array_equal(project(norm, zeros, zeros, 0.0), zeros)
    np.testing.assert_array_equal(project(norm, zeros + 1e-30, zeros, 0.0), zeros)


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("scale", [1e-15, 1e15, 1e30])
def test_scales_do_not_matter(norm, scale):
    x0, x = np.zeros(D), np.arange(1.0, D + 1)
    far = project(norm, scale * x, x0, scale, -np.inf, np.inf)
    expected = project(norm, x, x0, 1, -np.inf, np.inf)
    np.testing.assert_allclose(far / np.float32(scale), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", CONVEX)
def test_an_infinite_step_with_infinite_eps_reaches_the_face(norm):
    x = np.array([np.inf, -np.inf, 0.5])
    found = project(norm, x, np.full(3, 0.5), np.inf)
    np.testing.assert_array_equal(found, np.float32([1, 0, 0.5]))


@pytest.mark.parametrize("norm", ALL)
def test_float64_is_exact_to_float64(norm):
    with jax.enable_x64(True):
        _, x, x0 = case(4)
        eps = 2.0 if norm == "l0" else 0.4
        x, x0 = x.astype(np.float64), x0.astype(np.float64)
        found = np.asarray(apply(threats.by_name(norm)(eps), x, x0))
    assert found.dtype == np.float64
    np.testing.assert_allclose(oracle.size(norm, found - x0), eps, rtol=1e-14)
