"""Operators of ONNX that move, join and repeat numbers."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from robust_jax.interop.onnx.values import (
    Call,
    Value,
    integers,
    known,
    library,
)


def shape(call: Call, x: Value) -> Value:
    """Of a value, known while tracing."""
    sides = np.array(np.shape(x), np.int64)
    return sides[slice(call.attribute("start", 0), call.attribute("end", None))]


def size(call: Call, x: Value) -> Value:
    """The number of entries."""
    return np.array(np.size(x), np.int64)


def reshape(call: Call, x: Value, sides: Value) -> Value:
    """Zero keeps an axis, unless the node says that it is meant."""
    new = list(integers(sides, "shape"))
    if not call.attribute("allowzero", 0):
        new = [x.shape[i] if side == 0 else side for i, side in enumerate(new)]
    return x.reshape(new)


def flatten(call: Call, x: Value) -> Value:
    """Two axes: those before `axis`, and the others."""
    axis = call.attribute("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _axes(call: Call, given: Value) -> tuple[int, ...] | None:
    """Of an input, as newer operators have it, or of an attribute; None if neither."""
    if given is not None:
        return integers(given, "axes")
    return call.attribute("axes", None)


def squeeze(call: Call, x: Value, axes: Value = None) -> Value:
    """Without axes of one entry."""
    return library(x).squeeze(x, _axes(call, axes))


def unsqueeze(call: Call, x: Value, axes: Value = None) -> Value:
    """With new axes of one entry; axes count in the result."""
    return library(x).expand_dims(x, _axes(call, axes) or ())


def transpose(call: Call, x: Value) -> Value:
    """Axes in another order, by default turned round."""
    return library(x).transpose(x, call.attribute("perm", None))


def concat(call: Call, *values: Value) -> Value:
    """One after the other."""
    return library(*values).concatenate(values, axis=call.attribute("axis"))


def split(call: Call, x: Value, sizes: Value = None) -> tuple[Value, ...]:
    """In parts of sizes, or as many equal ones as there are outputs; the last less."""
    axis = call.attribute("axis", 0)
    parts = call.attribute("split", None) if sizes is None else integers(sizes, "sizes")
    if parts is None:
        count = call.attribute("num_outputs", len(call.node.outputs))
        ends = np.arange(1, count) * math.ceil(x.shape[axis] / count)
    else:
        ends = np.cumsum(parts)[:-1]
    return tuple(library(x).split(x, [int(end) for end in ends], axis))


def expand(call: Call, x: Value, sides: Value) -> Value:
    """Broadcast, in both directions."""
    new = np.broadcast_shapes(x.shape, integers(sides, "shape"))
    return library(x).broadcast_to(x, new)


def tile(call: Call, x: Value, repeats: Value) -> Value:
    """Repeated along each axis."""
    return library(x).tile(x, integers(repeats, "repeats"))


def from_to(call: Call, start: Value, limit: Value, delta: Value) -> Value:
    """Numbers at equal distances."""
    first = known(start, "start")
    ends = first.item(), known(limit, "limit").item(), known(delta, "delta").item()
    return np.arange(*ends, dtype=first.dtype)


def constant_of_shape(call: Call, sides: Value) -> Value:
    """One value everywhere, zero by default."""
    value = call.attribute("value", np.zeros(1, np.float32))
    return np.full(integers(sides, "shape"), call.as_computed(value).reshape(()))


def depth_to_space(call: Call, x: Value) -> Value:
    """Channels become pixels of blocks."""
    side, (batch, channels, height, width) = call.attribute("blocksize"), x.shape
    depth = channels // side**2
    if call.only("mode", "DCR", "DCR", "CRD") == "DCR":
        x = x.reshape(batch, side, side, depth, height, width)
        x = x.transpose(0, 3, 4, 1, 5, 2)
    else:
        x = x.reshape(batch, depth, side, side, height, width)
        x = x.transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(batch, depth, height * side, width * side)


def space_to_depth(call: Call, x: Value) -> Value:
    """Pixels of blocks become channels."""
    call.only("mode", "DCR", "DCR")
    side, (batch, channels, height, width) = call.attribute("blocksize"), x.shape
    x = x.reshape(batch, channels, height // side, side, width // side, side)
    x = x.transpose(0, 3, 5, 1, 2, 4)
    return x.reshape(batch, channels * side**2, height // side, width // side)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Concat": concat,
    "ConstantOfShape": constant_of_shape,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "Flatten": flatten,
    "Range": from_to,
    "Reshape": reshape,
    "Shape": shape,
    "Size": size,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
