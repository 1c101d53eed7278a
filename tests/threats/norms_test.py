import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax.threats import L0, L1, L2, Linf


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_values_at_any_scale(scale):
    delta = scale * jnp.array([3.0, 0.0, -4.0])
    np.testing.assert_allclose(Linf.size(delta), 4 * scale, rtol=1e-6)
    np.testing.assert_allclose(L2.size(delta), 5 * scale, rtol=1e-6)
    np.testing.assert_allclose(L1.size(delta), 7 * scale, rtol=1e-6)
    assert L0.size(delta) == 2


def test_the_euclidean_gradient_is_the_direction_and_zero_at_zero():
    grad = jax.grad(L2.size)
    np.testing.assert_allclose(grad(jnp.array([3.0, 4.0])), [0.6, 0.8], rtol=1e-6)
    np.testing.assert_array_equal(grad(jnp.zeros(2)), [0, 0])
