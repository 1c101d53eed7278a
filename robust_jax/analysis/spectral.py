"""How much can a layer, or a net, stretch a small change? Operator norms in L2.

A net's slope is at most the product of its layers' norms, and at least the largest norm
of its Jacobian that was seen; between the two lies the truth.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.core import checks
from robust_jax.core.types import Array, Key, LogitsFn


def conv_norm(
    kernel: Array, size: tuple[int, int], stride: int = 1, *, padding: str = "circular"
) -> float:
    """The operator norm of a convolution of images, by the discrete Fourier transform.

    In the Fourier basis a circular convolution is a small matrix for every frequency;
    with a stride, frequencies that subsampling folds together share one. Their largest
    singular value, over the stride, is the norm.
    Guarantees: exact for "circular", in float64; for "zeros" an upper bound: that of
    the circular convolution on images with room for the border, of which the layer is a
    part. The bound was at most a few per cent high in practice.

    Args:
        kernel: shape [h, w, C, F], as of `models.conv2d`.
        size: height and width of the images that go in; for "circular" multiples of
            the stride.
        stride: pixels between neighbouring outputs, >= 1.
        padding: what is beyond the border, "circular" or "zeros" (of any width).
    Raises: ValueError: a stride that does not divide the size; an unknown padding.
    References: Sedghi et al., "The singular values of convolutional layers", ICLR 2019,
        without stride; Szegedy et al., "Intriguing properties of neural networks",
        ICLR 2014, Sec. 4.3. Differs from the latter in: the factor 1 / stride, which is
        printed as 1 / stride^2 and then not the norm; the frequencies are those of the
        image, not of the kernel, between which the largest may lie.
    """
    checks.positive_integer("stride", stride)
    checks.known_name("padding", padding, ("circular", "zeros"))
    weights = np.asarray(kernel, np.float64)
    height, width, inputs, outputs = weights.shape
    if padding == "zeros":
        room = (size[0] + height - 1, size[1] + width - 1)
        size = (-(-room[0] // stride) * stride, -(-room[1] // stride) * stride)
    if size[0] % stride or size[1] % stride:
        raise ValueError(
            f"size={size} with stride={stride}; expected multiples of the stride"
        )
    grid = np.zeros((*size, inputs, outputs))
    for row in range(height):  # A kernel larger than the image wraps around.
        for column in range(width):
            grid[row % size[0], column % size[1]] += weights[row, column]
    waves = np.fft.fft2(grid, axes=(0, 1))
    down, right = size[0] // stride, size[1] // stride
    waves = waves.reshape(stride, down, stride, right, inputs, outputs)
    folded = waves.transpose(1, 3, 5, 0, 2, 4).reshape(down, right, outputs, -1)
    return float(np.linalg.svd(folded, compute_uv=False).max() / stride)


def dense_norm(kernel: Array) -> float:
    """The operator norm of a dense layer: the largest singular value of [D, F]."""
    return float(np.linalg.norm(np.asarray(kernel, np.float64), 2))


def pool_norm(window: int, stride: int) -> float:
    """The largest slope of max-pooling over squares.

    The root of the number of windows that share a pixel: one if they do not overlap,
    two for AlexNet's windows of 3x3 and stride 2.
    """
    checks.positive_integer("window", window)
    checks.positive_integer("stride", stride)
    return float(-(-window // stride))


def scaling_norm(scale: Array, variance: Array, epsilon: float) -> float:
    """The operator norm of a batch normalisation with running statistics."""
    factors = np.asarray(scale, np.float64) / np.sqrt(np.asarray(variance) + epsilon)
    return float(np.abs(factors).max())


def operator_norm(
    affine_fn: Callable[[Array], Array],
    shape: tuple[int, ...],
    key: Key,
    *,
    steps: int = 1000,
    tolerance: float = 1e-6,
) -> Array:
    """The operator norm of any affine function of an array, by power iteration.

    x becomes A^T A x, normalised, until the norm's relative growth is below the
    tolerance. Works for layers with any padding; a lower bound at any time.

    Args:
        affine_fn: arrays of the shape -> arrays; what it gives for zero is taken away.
        shape: of what goes in.
        key: of the start, standard normal.
        steps: at most so many.
        tolerance: relative growth of the norm in a step, at which it ends.
    Returns: float32, shape [].
    """
    zero = jnp.zeros(shape)
    offset, pull_back = jax.vjp(affine_fn, zero)
    x = jax.random.normal(key, shape)

    def go_on(carry):
        step, _, before, now = carry
        return (step < steps) & (now - before > tolerance * now)

    def move(carry):
        step, x, _, now = carry
        y = affine_fn(x) - offset
        norm = jnp.linalg.norm(y)
        (x,) = pull_back(y)
        return step + 1, x / jnp.maximum(jnp.linalg.norm(x), _TINY), now, norm

    x = x / jnp.linalg.norm(x)
    start = move(move((0, x, jnp.float32(0), jnp.float32(0))))
    return jax.lax.while_loop(go_on, move, start)[-1]


def jacobian_norm(logits_fn: LogitsFn, x: Array) -> Array:
    """The slope of a net at an example in the steepest direction, L2 to L2.

    Args:
        logits_fn: one example [*S] -> logits [K].
        x: the example, shape [*S].
    Returns: float32, shape [].
    """
    jacobian = jax.jacrev(logits_fn)(x)
    return jnp.linalg.norm(jacobian.reshape(jacobian.shape[0], -1), 2)


_TINY = float(np.finfo(np.float32).tiny)
