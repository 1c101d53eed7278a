"""Operators of ONNX that pick numbers, or put others around and among them."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from robust_jax.interop.onnx.values import (
    Call,
    UnsupportedError,
    Value,
    integers,
    is_known,
    known,
    library,
)

_SCATTERS = {"none": "set", "add": "add", "mul": "multiply", "max": "max", "min": "min"}
_PADS = ("constant", "reflect", "edge", "wrap")


def cut(
    call: Call,
    x: Value,
    starts: Value,
    ends: Value,
    axes: Value = None,
    steps: Value = None,
) -> Value:
    """Python's slices."""
    firsts, lasts = integers(starts, "starts"), integers(ends, "ends")
    along = range(len(firsts)) if axes is None else integers(axes, "axes")
    strides = [1] * len(firsts) if steps is None else integers(steps, "steps")
    index = [slice(None)] * x.ndim
    for axis, first, last, stride in zip(along, firsts, lasts, strides, strict=True):
        index[axis] = slice(*_bounds(first, last, stride, x.shape[axis]))
    return x[tuple(index)]


def _bounds(first: int, last: int, stride: int, side: int) -> tuple[Any, ...]:
    """Clamped, so that the largest integers mean the ends."""
    first, last, stride = slice(first, last, stride).indices(side)
    return first, None if last < 0 else last, stride


def gather(call: Call, x: Value, indices: Value) -> Value:
    """Entries along an axis; negative indices count from its end."""
    axis = call.attribute("axis", 0)
    if is_known(x, indices):
        return np.take(x, indices, axis)
    if not is_known(indices):
        return jnp.take(x, indices, axis)
    places = np.arange(x.shape[axis])[indices]  # Raises what is out of range.
    if places.ndim == 0:
        return lax.index_in_dim(x, int(places), axis, keepdims=False)
    return jnp.take(x, places, axis, mode="clip")


def gather_elements(call: Call, x: Value, indices: Value) -> Value:
    """For each place an index along an axis."""
    lib = library(x, indices)
    return lib.take_along_axis(x, indices, call.attribute("axis", 0))


def gather_nd(call: Call, x: Value, indices: Value) -> Value:
    """Entries at places that the last axis of the indices names."""
    call.only("batch_dims", 0, 0)
    return x[tuple(library(indices).moveaxis(indices, -1, 0))]


def scatter_nd(call: Call, x: Value, indices: Value, updates: Value) -> Value:
    """A copy with other entries at some places."""
    reduction = call.only("reduction", "none", *_SCATTERS)
    places = tuple(library(indices).moveaxis(indices, -1, 0))
    changed = getattr(jnp.asarray(x).at[places], _SCATTERS[reduction])(updates)
    return np.asarray(changed) if is_known(x, indices, updates) else changed


def pad(
    call: Call, x: Value, pads: Value, value: Value = None, axes: Value = None
) -> Value:
    """Margins around a value."""
    mode = call.only("mode", "constant", *_PADS)
    amounts = integers(pads, "pads")
    along = range(x.ndim) if axes is None else integers(axes, "axes")
    margins = [(0, 0)] * x.ndim
    for i, axis in enumerate(along):
        margins[axis] = (amounts[i], amounts[len(amounts) // 2 + i])
    if mode == "constant":
        filling = jnp.zeros((), x.dtype) if value is None else value
        filling = jnp.asarray(filling, x.dtype).reshape(())
        padded = lax.pad(jnp.asarray(x), filling, [(*margin, 0) for margin in margins])
        return np.asarray(padded) if is_known(x, value) else padded
    if min(min(margin) for margin in margins) < 0:
        raise UnsupportedError(f"has negative pads with mode={mode!r}")
    return library(x).pad(x, margins, mode=mode)


def trilu(call: Call, x: Value, diagonal: Value = None) -> Value:
    """The upper or the lower triangle."""
    offset = 0 if diagonal is None else int(known(diagonal, "diagonal"))
    name = "triu" if call.attribute("upper", 1) else "tril"
    return getattr(library(x), name)(x, offset)


def one_hot(call: Call, indices: Value, depth: Value, values: Value) -> Value:
    """The second value at the index, the first elsewhere."""
    count = integers(depth, "depth")[0]
    lib = library(indices, values)
    indices = lib.where(indices < 0, indices + count, indices)
    axis = call.attribute("axis", -1) % (indices.ndim + 1)
    sides = [1] * (indices.ndim + 1)
    sides[axis] = count
    chosen = lib.expand_dims(indices, axis) == np.arange(count).reshape(sides)
    return lib.where(chosen, values[1], values[0])


def cumulative_sum(call: Call, x: Value, axis: Value) -> Value:
    """The sum of all entries up to each."""
    call.only("exclusive", 0, 0)
    call.only("reverse", 0, 0)
    return library(x).cumsum(x, integers(axis, "axis")[0]).astype(x.dtype)


def largest(call: Call, x: Value, count: Value) -> tuple[Value, Value]:
    """The largest or smallest entries along an axis, and where they are."""
    axis, sign = call.attribute("axis", -1), 1 if call.attribute("largest", 1) else -1
    moved = jnp.moveaxis(sign * jnp.asarray(x), axis, -1)
    values, places = lax.top_k(moved, integers(count, "k")[0])
    return sign * jnp.moveaxis(values, -1, axis), jnp.moveaxis(places, -1, axis)


OPERATORS: dict[str, Callable[..., Any]] = {
    "CumSum": cumulative_sum,
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "OneHot": one_hot,
    "Pad": pad,
    "ScatterND": scatter_nd,
    "Slice": cut,
    "TopK": largest,
    "Trilu": trilu,
}
