"""Convolutions whose gradients stay fast inside compiled loops on CPU.

JAX writes the gradients of a convolution with permuted dimension numbers and reversed
windows. XLA:CPU has no fast kernel for these inside `fori_loop` and `scan`, where they
cost 2 to 40 times what they cost outside. Here both gradients are ordinary NHWC/HWIO
convolutions of operands that were flipped or transposed before. (An optimisation
barrier around those made no difference.) Other platforms keep the standard gradients,
which they map to kernels of their own.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax

from robust_jax.core.types import Array

Pads = tuple[tuple[int, int], tuple[int, int]]
Padding = str | int | Pads

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
# Up to this many pixels per patch one matmul of patches took 0.25 to 0.7 of the time of
# the convolution (forward and input gradient, 2 CPU cores); no gain was left at 144.
_LARGEST_PATCH = 64
_IS_PLAIN = contextvars.ContextVar("plain_convolutions", default=False)


@functools.cache
def _apart() -> Any:
    """What keeps JAX's memory of traced functions apart.

    Made at its first use: when there is a new one, JAX traces everything anew, once.
    """
    return jax.make_user_context(False)


@contextlib.contextmanager
def plain_convolutions() -> Iterator[None]:
    """Within it `conv2d` is JAX's own convolution, as those who export nets want it.

    Of this thread alone; nothing traced within it is taken for what is traced outside.
    """
    before = _IS_PLAIN.set(True)
    try:
        with _apart()(True):
            yield
    finally:
        _IS_PLAIN.reset(before)


def conv2d(
    x: Array,
    kernel: Array,
    stride: int | tuple[int, int] = 1,
    padding: Padding = "SAME",
) -> Array:
    """Images correlated with a kernel, as `lax.conv_general_dilated` has it.

    A kernel that sees few pixels at once, such as a first layer's, runs as a matmul of
    patches; both routes have the same value and gradients up to rounding.
    Guarantees: works under jit, vmap and repeated `grad`; dtype kept.
    Edge cases: no forward-mode differentiation (`jvp`, `jacfwd`): the reverse rule is a
    custom one, which JAX then asks for alone. Forward over reverse (`jvp` of `grad`,
    Hessian products) works.

    Args:
        x: images, shape [*B, H, W, C], any number of leading axes, none included.
        kernel: shape [h, w, C, F], the dtype of `x`.
        stride: pixels between neighbouring outputs, one number or (down, right).
        padding: "SAME", "VALID", pixels on every side, or
            ((top, bottom), (left, right)).
    Returns: shape [*B, H', W', F].
    Raises: ValueError: shapes that do not fit, a stride < 1, an unknown padding.
    """
    if x.ndim < 3 or kernel.ndim != 4 or x.shape[-1] != kernel.shape[2]:
        raise ValueError(
            f"x.shape={x.shape}, kernel.shape={kernel.shape}; expected [*B, H, W, C] "
            "and [h, w, C, F]; give both the same number of channels C"
        )
    window = _window(x, kernel, stride, padding)
    batch = x.shape[:-3]
    x = x.reshape(math.prod(batch), *x.shape[-3:])
    if _IS_PLAIN.get():
        y = _standard(x, kernel, window)
    elif _is_few_pixels(kernel, window):
        y = _matmul_of_patches(x, kernel, window)
    else:
        y = _convolve(x, kernel, window)
    return y.reshape(*batch, *y.shape[1:])


class Conv(nn.Module):
    """A drop-in for `flax.linen.Conv` on images that computes by `conv2d`.

    The parameters `kernel` [h, w, C, F] and `bias` [F] have Flax's names and initial
    distributions, and so does the module: weights are interchangeable. Images may be
    [*B, H, W, C] with any number of leading axes.
    """

    features: int
    kernel_size: tuple[int, int]
    strides: int | tuple[int, int] = 1
    padding: Padding = "SAME"
    use_bias: bool = True
    kernel_init: Callable[..., Any] = nn.linear.default_kernel_init
    bias_init: Callable[..., Any] = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The convolved images, shape [*B, H', W', features]."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        if not self.use_bias:
            x, kernel = promote_dtype(x, kernel)
            return conv2d(x, kernel, self.strides, self.padding)
        bias = self.param("bias", self.bias_init, (self.features,), jnp.float32)
        x, kernel, bias = promote_dtype(x, kernel, bias)
        return conv2d(x, kernel, self.strides, self.padding) + bias


class _Window(NamedTuple):
    """How a kernel moves over an image: static, and hashable as such."""

    strides: tuple[int, int]
    pads: Pads


def _window(
    x: Array, kernel: Array, stride: int | tuple[int, int], padding: Padding
) -> _Window:
    strides = (stride, stride) if isinstance(stride, int) else stride
    if min(strides) < 1:
        raise ValueError(f"stride={stride}; expected integers >= 1")
    image, sides = x.shape[-3:-1], kernel.shape[:2]
    if isinstance(padding, int):
        pads = ((padding, padding), (padding, padding))
    elif not isinstance(padding, str):
        pads = padding
    elif padding in ("SAME", "VALID"):
        down, right = lax.padtype_to_pads(image, sides, strides, padding)
        pads = (down, right)
    else:
        raise ValueError(
            f"padding={padding!r}; expected 'SAME', 'VALID', an integer or "
            "((top, bottom), (left, right))"
        )
    if any(image[d] + sum(pads[d]) < sides[d] for d in range(2)):
        raise ValueError(
            f"x.shape={x.shape}; smaller than the kernel {sides} with padding {pads}; "
            "use larger images, more padding or fewer layers"
        )
    return _Window(strides, pads)


def _is_few_pixels(kernel: Array, window: _Window) -> bool:
    height, width, channels, _ = kernel.shape
    whole = height % window.strides[0] == 0 and width % window.strides[1] == 0
    return whole and height * width * channels <= _LARGEST_PATCH


def _matmul_of_patches(x: Array, kernel: Array, window: _Window) -> Array:
    """The convolution for strides that divide the kernel's sides.

    Cells of stride by stride pixels become channels; a patch is then a few whole cells,
    which are plain slices.
    """
    height, width, channels, features = kernel.shape
    (down, right), (vertical, horizontal) = window
    margins = ((0, 0, 0), (*vertical, 0), (*horizontal, 0), (0, 0, 0))
    x = lax.pad(x, jnp.zeros((), x.dtype), margins)
    batch, rows, columns = x.shape[0], x.shape[1] // down, x.shape[2] // right
    cells = x[:, : rows * down, : columns * right]
    cells = cells.reshape(batch, rows, down, columns, right, channels)
    cells = cells.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, -1)
    tall, wide = height // down, width // right
    patches = [
        cells[:, i : i + rows - tall + 1, j : j + columns - wide + 1]
        for i in range(tall)
        for j in range(wide)
    ]
    weights = kernel.reshape(tall, down, wide, right, channels, features)
    weights = weights.transpose(0, 2, 1, 3, 4, 5).reshape(-1, features)
    return jnp.concatenate(patches, axis=-1) @ weights


def _standard(x: Array, kernel: Array, window: _Window) -> Array:
    return lax.conv_general_dilated(x, kernel, *window, dimension_numbers=_DIMENSIONS)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(x: Array, kernel: Array, window: _Window) -> Array:
    return _standard(x, kernel, window)


def _forward(
    x: Array, kernel: Array, window: _Window
) -> tuple[Array, tuple[Array, Array]]:
    return _standard(x, kernel, window), (x, kernel)


def _backward(
    window: _Window, residuals: tuple[Array, Array], ct: Array
) -> tuple[Array, Array]:
    def standard(x: Array, kernel: Array, ct: Array) -> tuple[Array, Array]:
        return jax.vjp(lambda x, k: _standard(x, k, window), x, kernel)[1](ct)

    # Two calls, so that whoever needs one gradient does not pay for the other.
    x_bar = lax.platform_dependent(
        *residuals,
        ct,
        cpu=lambda x, kernel, ct: _input_gradient(x, kernel, ct, window),
        default=lambda *operands: standard(*operands)[0],
    )
    kernel_bar = lax.platform_dependent(
        *residuals,
        ct,
        cpu=lambda x, kernel, ct: _kernel_gradient(x, kernel, ct, window),
        default=lambda *operands: standard(*operands)[1],
    )
    return x_bar, kernel_bar


_convolve.defvjp(_forward, _backward)


def _input_gradient(x: Array, kernel: Array, ct: Array, window: _Window) -> Array:
    """The cotangent, spread by the strides, correlated with the turned kernel."""
    turned = jnp.swapaxes(kernel[::-1, ::-1], 2, 3)
    touched = _touched_pads(x, kernel, ct, window)
    return lax.conv_general_dilated(
        ct,
        turned,
        (1, 1),
        [(side - 1 - low, side - 1 - high) for side, (low, high) in touched],
        lhs_dilation=window.strides,
        dimension_numbers=_DIMENSIONS,
    )


def _kernel_gradient(x: Array, kernel: Array, ct: Array, window: _Window) -> Array:
    """The images correlated with the cotangent; batch and channels change roles."""
    gradient = lax.conv_general_dilated(
        jnp.transpose(x, (3, 1, 2, 0)),
        jnp.transpose(ct, (1, 2, 0, 3)),
        (1, 1),
        [pad for _, pad in _touched_pads(x, kernel, ct, window)],
        rhs_dilation=window.strides,
        dimension_numbers=_DIMENSIONS,
    )
    return jnp.transpose(gradient, (1, 2, 0, 3))


def _touched_pads(
    x: Array, kernel: Array, ct: Array, window: _Window
) -> list[tuple[int, tuple[int, int]]]:
    """Per direction, the kernel's side and the padding that its last step reaches.

    Where the last stride would leave the image, that is less than the window's padding,
    even negative.
    """
    touched = []
    for d in range(2):
        side, low = kernel.shape[d], window.pads[d][0]
        last = (ct.shape[1 + d] - 1) * window.strides[d]
        touched.append((side, (low, last + side - low - x.shape[1 + d])))
    return touched
