import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from robust_jax.threats.search import keep_largest, last_float

keep = jax.jit(keep_largest)


@jax.jit
def last_at_most(limit):
    return last_float(lambda v: v <= limit, limit.dtype)


@given(st.floats(0, width=32, allow_subnormal=False))
def test_finds_any_float_to_the_last_bit(limit):
    assert last_at_most(np.float32(limit)) == np.float32(limit)


def test_finds_any_float64_to_the_last_bit():
    with jax.enable_x64(True):
        assert last_at_most(np.float64(0.1)) == 0.1


def test_a_condition_that_never_holds_gives_zero():
    assert last_at_most(np.float32(-1.0)) == 0


@pytest.mark.parametrize("levels", [1, 3, 1000])
@pytest.mark.parametrize("count", [0, 0.99, 1, 7.5, 39, 40, 41, np.inf])
def test_equals_a_stable_sort(levels, count):
    rng = np.random.default_rng(levels)
    values = rng.integers(0, levels, 40).astype(np.float32) / 7  # Ties, and zeros.
    first = np.argsort(-values, kind="stable")[: int(min(count, 40))]
    expected = np.isin(np.arange(40), first)
    np.testing.assert_array_equal(keep(values, np.float32(count)), expected)


def test_counts_may_differ_within_a_batch():
    values = jnp.tile(jnp.arange(5.0), (3, 1))
    marks = jax.vmap(keep)(values, jnp.array([0.0, 2.0, 5.0]))
    np.testing.assert_array_equal(marks.sum(axis=1), [0, 2, 5])
    np.testing.assert_array_equal(marks[1], [0, 0, 0, 1, 1])
