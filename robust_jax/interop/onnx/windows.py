"""Operators of ONNX that move a window over images: convolutions and pooling."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from robust_jax.interop.onnx.values import Call, UnsupportedError, Value

Pads = list[tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class Window:
    """How a kernel moves, per direction; `pads` reach as far as the last place."""

    sides: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: Pads
    given: Pads  # The pads of the node: those that count as part of the image.


def _window(call: Call, images: tuple[int, ...], sides: tuple[int, ...]) -> Window:
    """Raises UnsupportedError: padding of an unknown name."""
    ones = (1,) * len(sides)
    strides = tuple(call.attribute("strides", ones))
    dilations = tuple(call.attribute("dilations", ones))
    spans = [d * (side - 1) + 1 for d, side in zip(dilations, sides, strict=True)]
    pads = _pads(call, images, spans, strides)
    reached = [*pads]
    if call.attribute("ceil_mode", 0):
        for i, (low, high) in enumerate(pads):
            room = images[i] + low + high - spans[i]
            last = math.ceil(room / strides[i]) * strides[i]
            if last >= images[i] + low:  # It would begin beyond the image.
                last -= strides[i]
            reached[i] = (low, max(high, last + spans[i] - images[i] - low))
    return Window(sides, strides, dilations, reached, pads)


def _pads(call: Call, images: Any, spans: list[int], strides: tuple[int, ...]) -> Pads:
    count = len(spans)
    named = call.only(
        "auto_pad", "NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"
    )
    if named == "NOTSET":
        flat = call.attribute("pads", (0,) * 2 * count)
        return list(zip(flat[:count], flat[count:], strict=True))
    if named == "VALID":
        return [(0, 0)] * count
    pads = []
    for image, span, stride in zip(images, spans, strides, strict=True):
        total = max((math.ceil(image / stride) - 1) * stride + span - image, 0)
        pads.append(_halves(total, more_at_the_end=named == "SAME_UPPER"))
    return pads


def _halves(total: int, more_at_the_end: bool) -> tuple[int, int]:
    less, more = total // 2, total - total // 2
    return (less, more) if more_at_the_end else (more, less)


def _dimensions(x: Value) -> tuple[str, str, str]:
    places = "DHW"[5 - x.ndim :] if x.ndim <= 5 else ""
    if not 3 <= x.ndim <= 5:
        raise UnsupportedError(f"takes a value of rank {x.ndim}; supported: 3 to 5")
    return f"NC{places}", f"OI{places}", f"NC{places}"


def convolve(call: Call, x: Value, kernel: Value, bias: Value = None) -> Value:
    """A convolution of channels-first images, grouped and dilated."""
    window = _window(call, x.shape[2:], kernel.shape[2:])
    y = lax.conv_general_dilated(
        x,
        kernel,
        window.strides,
        window.pads,
        rhs_dilation=window.dilations,
        dimension_numbers=_dimensions(x),
        feature_group_count=call.attribute("group", 1),
    )
    return y if bias is None else y + _per_channel(bias, y)


def convolve_transposed(
    call: Call, x: Value, kernel: Value, bias: Value = None
) -> Value:
    """The transpose of a convolution: its input spread by the strides."""
    groups, sides = call.attribute("group", 1), kernel.shape[2:]
    ones = (1,) * len(sides)
    strides = call.attribute("strides", ones)
    dilations = call.attribute("dilations", ones)
    added = call.attribute("output_padding", (0,) * len(sides))
    spans = [d * (side - 1) + 1 for d, side in zip(dilations, sides, strict=True)]
    places = tuple(range(2, x.ndim))
    flipped = jnp.flip(kernel, places).reshape(groups, -1, *kernel.shape[1:])
    flipped = jnp.swapaxes(flipped, 1, 2).reshape(-1, len(kernel) // groups, *sides)
    pads = _transposed_pads(call, x.shape[2:], spans, strides, added)
    y = lax.conv_general_dilated(
        x,
        flipped,
        ones,
        [
            (span - 1 - low, span - 1 - high + more)
            for span, (low, high), more in zip(spans, pads, added, strict=True)
        ],
        lhs_dilation=strides,
        rhs_dilation=dilations,
        dimension_numbers=_dimensions(x),
        feature_group_count=groups,
    )
    return y if bias is None else y + _per_channel(bias, y)


def _transposed_pads(
    call: Call, images: Any, spans: list[int], strides: Any, added: Any
) -> Pads:
    """The pads, which an output's shape or a name may give."""
    named = call.attribute("auto_pad", "NOTSET")
    sides = call.attribute("output_shape", None)
    if sides is None and named in ("NOTSET", "VALID"):
        return _pads(call, images, spans, strides)
    if sides is None:
        sides = [n * stride for n, stride in zip(images, strides, strict=True)]
    pads = []
    for i, side in enumerate(sides):
        total = strides[i] * (images[i] - 1) + added[i] + spans[i] - side
        pads.append(_halves(total, more_at_the_end=named == "SAME_UPPER"))
    return pads


def _per_channel(values: Value, x: Value) -> Value:
    return values.reshape(1, -1, *[1] * (x.ndim - 2))


def max_pool(call: Call, x: Value) -> Value:
    """The largest value of each window."""
    call.only("storage_order", 0, 0)
    window = _window(call, x.shape[2:], call.attribute("kernel_shape"))
    return _reduced(x, window, -jnp.inf, lax.max)


def average_pool(call: Call, x: Value) -> Value:
    """The mean of each window, of the image's pixels or of its padding's too."""
    window = _window(call, x.shape[2:], call.attribute("kernel_shape"))
    whole = bool(call.attribute("count_include_pad", 0))
    counts = np.ones((), x.dtype)
    for i, side in enumerate(x.shape[2:]):
        counts = np.multiply.outer(counts, _counts(window, i, side, whole))
    return _reduced(x, window, 0.0, lax.add) / counts.astype(x.dtype)


def _counts(window: Window, i: int, side: int, with_padding: bool) -> np.ndarray:
    """How many entries of a direction each window has."""
    low, high = window.given[i] if with_padding else (0, 0)
    start, end = window.pads[i]
    span = window.dilations[i] * (window.sides[i] - 1) + 1
    first = np.arange(-start, side + end - span + 1, window.strides[i])
    places = first[:, None] + window.dilations[i] * np.arange(window.sides[i])
    return ((places >= -low) & (places < side + high)).sum(1)


def _reduced(x: Value, window: Window, neutral: float, by: Callable[..., Any]) -> Value:
    return lax.reduce_window(
        x,
        np.asarray(neutral, x.dtype),
        by,
        (1, 1, *window.sides),
        (1, 1, *window.strides),
        [(0, 0), (0, 0), *window.pads],
        window_dilation=(1, 1, *window.dilations),
    )


def global_average_pool(call: Call, x: Value) -> Value:
    """The mean of each channel."""
    return x.mean(tuple(range(2, x.ndim)), keepdims=True)


def global_max_pool(call: Call, x: Value) -> Value:
    """The largest value of each channel."""
    return x.max(tuple(range(2, x.ndim)), keepdims=True)


OPERATORS: dict[str, Callable[..., Any]] = {
    "AveragePool": average_pool,
    "Conv": convolve,
    "ConvTranspose": convolve_transposed,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "MaxPool": max_pool,
}
