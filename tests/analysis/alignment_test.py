"""Saliency of a linear net, whose gradient is its weights."""

import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import analysis

KERNEL = np.array([[1.0, -1.0, 0.5], [2.0, 0.0, 0.0], [0.0, 3.0, -1.0]])


def logits_fn(x):
    return x.reshape(-1) @ KERNEL


def test_the_gradient_is_that_to_the_best_other_class():
    x = jnp.array([[1.0], [1.0], [0.2]])  # Logits 3, -0.4, 0.3.
    found = analysis.margin_gradient(logits_fn, x, jnp.int32(0))
    np.testing.assert_allclose(found.ravel(), KERNEL[:, 0] - KERNEL[:, 2], atol=1e-6)


def test_alpha_is_the_distance_to_the_plane_of_a_linear_net():
    x = jnp.array([[1.0], [1.0], [0.2]])
    normal = KERNEL[:, 0] - KERNEL[:, 2]
    alpha, cosine = analysis.alignment(logits_fn, x, jnp.int32(0))
    flat = np.asarray(x).ravel()
    assert alpha == pytest.approx(flat @ normal / np.linalg.norm(normal), rel=1e-5)
    assert cosine == pytest.approx(float(alpha) / np.linalg.norm(flat), rel=1e-5)


def test_no_gradient_no_alignment():
    found = analysis.alignment(lambda x: jnp.zeros(3), jnp.ones((2, 2)), jnp.int32(1))
    assert tuple(map(float, found)) == (0, 0)
