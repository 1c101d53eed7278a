import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from robust_jax import threats
from robust_jax.threats import L0, L1, L2, Linf

ALL = ["linf", "l2", "l1", "l0"]
N = 4000
KEYS = jax.random.split(jax.random.key(0), N)
draw = jax.jit(jax.vmap(lambda ball, key, x0: ball.sample(key, x0), (None, 0, None)))


def samples(ball, x0):
    ball = jax.tree.map(jnp.float32, ball)
    return np.asarray(draw(ball, KEYS, jnp.asarray(x0, jnp.float32)), np.float64)


def assert_distributed(values, cdf):
    assert stats.kstest(values, cdf).pvalue > 1e-3


# The first coordinate of a uniform point of each three-dimensional unit ball.
MARGINALS = {
    "linf": lambda t: (1 + t) / 2,
    "l2": lambda t: (2 + 3 * t - t**3) / 4,
    "l1": lambda t: (1 + np.sign(t) * (1 - (1 - np.abs(t)) ** 3)) / 2,
}


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_uniform_in_the_ball(norm):
    ball = threats.by_name(norm)(0.25)
    unit = (samples(ball, [0.5] * 3) - 0.5) / 0.25
    order = {"linf": np.inf, "l2": 2, "l1": 1}[norm]
    radii = np.linalg.norm(unit, order, axis=1)
    assert radii.max() <= 1 + 1e-6
    assert_distributed(radii**3, "uniform")
    for i in range(3):
        assert_distributed(unit[:, i], MARGINALS[norm])
    assert np.abs(np.corrcoef(unit.T) - np.eye(3)).max() < 0.06


def test_l0_moves_a_random_set_to_uniform_values():
    x0 = np.full(5, 0.25)
    found = samples(L0(2.9, -1.0, 1.0), x0)
    moved = found != 0.25
    np.testing.assert_array_equal(moved.sum(axis=1), 2)
    pairs = np.unique(moved @ 2 ** np.arange(5), return_counts=True)[1]
    assert len(pairs) == 10 and stats.chisquare(pairs).pvalue > 1e-3
    assert_distributed((found[moved] + 1) / 2, "uniform")


@pytest.mark.parametrize("norm", ALL)
def test_infinite_eps_is_uniform_in_the_box(norm):
    ball = threats.by_name(norm)(np.inf, -1.0, 1.0)
    found = samples(ball, [0.5, 0.0, -1.0])
    for i in range(3):
        assert_distributed((found[:, i] + 1) / 2, "uniform")


@pytest.mark.parametrize("ball", [Linf(0.3), L2(0.9), L1(1.5)])
def test_the_box_clips_what_sticks_out(ball):
    x0 = np.array([0.0, 1.0, 0.1])
    found = samples(ball, x0)
    assert found.min() == 0 and found.max() == 1
    assert np.mean(found[:, 0] == 0) > 0.4
    distances = jax.vmap(ball.distance, (0, None))(found.astype(np.float32), x0)
    assert distances.max() <= ball.eps + 1e-6


@pytest.mark.parametrize("norm", ALL)
def test_zero_eps_is_the_centre(norm):
    x0 = np.float32([0.0, 1.0, 0.3])
    found = samples(threats.by_name(norm)(0.0), x0)
    np.testing.assert_array_equal(found, np.tile(x0, (N, 1)))
