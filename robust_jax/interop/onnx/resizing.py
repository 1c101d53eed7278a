"""The operator of ONNX that makes images larger or smaller."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from robust_jax.interop.onnx.values import (
    Call,
    UnsupportedError,
    Value,
    integers,
    known,
)

# Of a pixel's middle in the new image, where it is in the old one.
_PLACES: dict[str, Callable[["_Axis", np.ndarray], np.ndarray]] = {
    "align_corners": lambda axis, i: i * (axis.old - 1) / max(axis.new - 1, 1),
    "asymmetric": lambda axis, i: i / axis.scale,
    "half_pixel": lambda axis, i: (i + 0.5) / axis.scale - 0.5,
    "pytorch_half_pixel": lambda axis, i: (
        (i + 0.5) / axis.scale - 0.5 if axis.new > 1 else 0.0 * i
    ),
}
_ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ceil": np.ceil,
    "floor": np.floor,
    "round_prefer_ceil": lambda places: np.floor(places + 0.5),
    "round_prefer_floor": lambda places: np.ceil(places - 0.5),
}


@dataclasses.dataclass(frozen=True)
class _Axis:
    old: int
    new: int
    scale: float


def resize(
    call: Call, x: Value, roi: Value = None, scales: Value = None, sizes: Value = None
) -> Value:
    """By the nearest pixel, or linearly between two of each direction."""
    mode = call.only("mode", "nearest", "nearest", "linear")
    call.only("antialias", 0, 0)
    call.only("keep_aspect_ratio_policy", "stretch", "stretch")
    named = call.only("coordinate_transformation_mode", "half_pixel", *_PLACES)
    rounding = _ROUNDINGS["round_prefer_floor"]
    if mode == "nearest":
        chosen = call.only("nearest_mode", "round_prefer_floor", *_ROUNDINGS)
        rounding = _ROUNDINGS[chosen]
    for along, axis in _axes(call, x, scales, sizes):
        if axis.new == axis.old and axis.scale == 1:
            continue
        # In float32, as runtimes have it: halves are rounded the same way.
        places = _PLACES[named](axis, np.arange(axis.new, dtype=np.float32))
        if mode == "nearest":
            index = np.clip(rounding(places), 0, axis.old - 1).astype(np.int32)
            x = jnp.take(x, index, along, mode="clip")
        else:
            x = _between(x, along, np.clip(places, 0, axis.old - 1))
    return x


def _axes(call: Call, x: Value, scales: Value, sizes: Value) -> list[tuple[int, _Axis]]:
    """Which axes change, and how.

    Raises UnsupportedError: neither scales nor sizes.
    """
    along = call.attribute("axes", tuple(range(x.ndim)))
    if sizes is not None and np.size(sizes):
        new = integers(sizes, "sizes")
        factors = [side / x.shape[a] for side, a in zip(new, along, strict=True)]
    elif scales is not None and np.size(scales):
        factors = [float(f) for f in known(scales, "scales").reshape(-1)]
        new = tuple(
            math.floor(x.shape[a] * f) for f, a in zip(factors, along, strict=True)
        )
    else:
        raise UnsupportedError("has neither scales nor sizes")
    return [
        (a, _Axis(x.shape[a], side, factor))
        for a, side, factor in zip(along, new, factors, strict=True)
    ]


def _between(x: Value, along: int, places: np.ndarray) -> Value:
    low = np.floor(places).astype(np.int32)
    high = np.minimum(low + 1, x.shape[along] - 1)
    sides = [1] * x.ndim
    sides[along] = -1
    share = (places - low).reshape(sides).astype(x.dtype)
    below, above = (jnp.take(x, i, along, mode="clip") for i in (low, high))
    return below * (1 - share) + above * share


OPERATORS: dict[str, Callable[..., Any]] = {"Resize": resize}
