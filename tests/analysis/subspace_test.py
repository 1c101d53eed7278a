"""Orthonormal directions that share a gradient equally."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import analysis


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_they_are_orthonormal_and_share_the_gradient(count, sign):
    gradient = sign * jax.random.normal(jax.random.key(3), (3, 4))
    made = analysis.aligned_directions(gradient, count, jax.random.key(0))
    assert made.shape == (count, 3, 4)
    flat = np.asarray(made).reshape(count, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(count), atol=1e-5)
    along = flat @ np.asarray(gradient).ravel() / np.linalg.norm(gradient)
    np.testing.assert_allclose(along, count**-0.5, atol=1e-5)


def test_the_directions_beside_it_are_the_keys():
    gradient = jnp.ones(6)
    first, second = (
        analysis.aligned_directions(gradient, 3, jax.random.key(k)) for k in (0, 1)
    )
    assert np.abs(first - second).max() > 0.1


def test_no_more_than_coordinates():
    with pytest.raises(ValueError, match="count=5 directions of 4 coordinates"):
        analysis.aligned_directions(jnp.ones(4), 5, jax.random.key(0))
