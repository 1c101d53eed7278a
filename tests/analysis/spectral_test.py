"""Operator norms beside singular values of matrices that were written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import models
from robust_jax.analysis import spectral


def matrix(affine_fn, shape):
    """The matrix of an affine function, one column per entry that goes in."""
    units = np.eye(int(np.prod(shape)), dtype=np.float32).reshape(-1, *shape)
    columns = jax.vmap(affine_fn)(units) - affine_fn(jnp.zeros(shape))
    return np.asarray(columns, np.float64).reshape(len(units), -1).T


def written_out(kernel, size, stride, pad=None):
    """The matrix of a convolution, circular or with zeros, in float64."""
    (height, width), (h, w, c, f) = size, kernel.shape
    rows, columns = height // stride, width // stride
    if pad is not None:
        rows = (height + 2 * pad - h) // stride + 1
        columns = (width + 2 * pad - w) // stride + 1
    full = np.zeros((rows, columns, f, height, width, c))
    for i, j, a, b in np.ndindex(rows, columns, h, w):
        y, x = i * stride + a - (pad or 0), j * stride + b - (pad or 0)
        if pad is None:
            y, x = y % height, x % width
        if 0 <= y < height and 0 <= x < width:
            full[i, j, :, y, x, :] += kernel[a, b].T
    return full.reshape(rows * columns * f, -1)


def test_the_matrix_written_out_is_that_of_the_layer():
    kernel = np.random.default_rng(2).normal(size=(3, 2, 2, 3)).astype(np.float32)
    found = matrix(lambda x: models.conv2d(x, kernel, 2, 1), (5, 6, 2))
    np.testing.assert_allclose(found, written_out(kernel, (5, 6), 2, 1), atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel_size", [(1, 1), (3, 3), (4, 2), (5, 5)])
def test_circular_norm_is_the_largest_singular_value(stride, kernel_size):
    rng = np.random.default_rng(stride)
    kernel = rng.normal(size=(*kernel_size, 2, 3))
    for size in ((stride * 3, stride * 3), (stride, stride * 5)):  # Odd ones, too.
        expected = np.linalg.norm(written_out(kernel, size, stride), 2)
        found = spectral.conv_norm(kernel, size, stride)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_zero_padding_is_bounded_on_a_hundred_cases():
    rng, ratios = np.random.default_rng(0), []
    for _ in range(100):
        stride, side = rng.integers(1, 4), rng.integers(4, 8)
        h, w, c, f, pad = rng.integers(1, [5, 5, 3, 4, 4])
        kernel = rng.normal(size=(h, w, c, f))
        exact = np.linalg.norm(written_out(kernel, (side, side), stride, pad), 2)
        bound = spectral.conv_norm(kernel, (side, side), int(stride), padding="zeros")
        ratios.append(exact / bound)
    assert max(ratios) <= 1 + 1e-6
    assert np.mean(ratios) > 0.85  # A bound that is always loose would be useless.


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
def test_power_iteration_finds_the_norm_of_any_affine_layer(padding, stride):
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(3, 3, 2, 4)).astype(np.float32)

    def layer(x):
        return models.conv2d(x, kernel, stride, padding) + 7.0

    expected = np.linalg.norm(matrix(layer, (7, 7, 2)), 2)
    key = jax.random.key(0)
    found = jax.jit(lambda: spectral.operator_norm(layer, (7, 7, 2), key))()
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert found <= expected * (1 + 1e-5)


def test_power_iteration_of_nothing_is_zero():
    found = spectral.operator_norm(lambda x: 0 * x, (3,), jax.random.key(0))
    assert found == 0


def test_dense_pooling_and_normalisation():
    kernel = np.diag([3.0, -5.0, 1.0])
    assert spectral.dense_norm(kernel) == pytest.approx(5)
    scale, variance = np.array([1.0, -3.0]), np.array([0.25, 3.99])
    assert spectral.scaling_norm(scale, variance, 0.01) == pytest.approx(1 / 0.26**0.5)


@pytest.mark.parametrize(
    ("window", "stride", "norm"), [(2, 2, 1), (3, 2, 2), (3, 1, 3)]
)
def test_a_pixel_counts_once_for_each_window(window, stride, norm):
    assert spectral.pool_norm(window, stride) == norm
    image = np.zeros((9, 9), np.float32)
    image[4, 4] = 1  # Seen by as many windows as can share a pixel.
    pooled = jax.lax.reduce_window(
        image, -jnp.inf, jax.lax.max, (window, window), (stride, stride), "VALID"
    )
    assert jnp.linalg.norm(pooled) == norm


def test_a_jacobians_norm_is_the_steepest_slope():
    weights = np.array([[2.0, 0.0], [0.0, 3.0], [0.0, 0.0]], np.float32)

    def net(x):
        return jax.nn.relu(x.reshape(-1) @ weights)

    assert spectral.jacobian_norm(net, jnp.array([[1.0], [1.0], [1.0]])) == 3
    assert spectral.jacobian_norm(net, jnp.array([[1.0], [-1.0], [1.0]])) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((7, 8), 2), r"size=\(7, 8\) with stride=2; expected multiples"),
        (((8, 8), 0), "stride=0"),
    ],
)
def test_bad_sizes_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        spectral.conv_norm(np.ones((3, 3, 1, 1)), *arguments)


def test_an_unknown_padding_is_refused():
    with pytest.raises(ValueError, match="padding"):
        spectral.conv_norm(np.ones((3, 3, 1, 1)), (4, 4), padding="zero")
