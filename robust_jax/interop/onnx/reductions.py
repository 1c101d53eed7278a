"""Operators of ONNX that reduce axes to one number."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.interop.onnx.values import Call, Value, integers, is_known, library


def _reduction(by: Callable[[Any, Value, Any, bool], Value]) -> Callable[..., Value]:
    """Over axes that an input or an attribute names, or over all."""

    def apply(call: Call, x: Value, axes: Value = None) -> Value:
        named = integers(axes, "axes") if axes is not None else None
        named = call.attribute("axes", None) if named is None else named
        stays = call.attribute("noop_with_empty_axes", 0)
        keeps = bool(call.attribute("keepdims", 1))
        if not named and stays:
            return x
        reduced = by(library(x), x, tuple(named) if named else None, keeps)
        return np.asarray(reduced) if is_known(reduced) else reduced

    return apply


def _plain(name: str) -> Callable[..., Value]:
    return _reduction(
        lambda lib, x, axes, keeps: getattr(lib, name)(x, axis=axes, keepdims=keeps)
    )


def _norm(lib: Any, x: Value, axes: Any, keeps: bool) -> Value:
    return lib.sqrt(lib.square(x).sum(axis=axes, keepdims=keeps))


def _place(name: str) -> Callable[..., Value]:
    """Where the largest or smallest entry is; the first of equals."""

    def apply(call: Call, x: Value) -> Value:
        call.only("select_last_index", 0, 0)
        axis, keeps = call.attribute("axis", 0), bool(call.attribute("keepdims", 1))
        return getattr(library(x), name)(x, axis=axis, keepdims=keeps)

    return apply


OPERATORS: dict[str, Callable[..., Any]] = {
    "ArgMax": _place("argmax"),
    "ArgMin": _place("argmin"),
    "ReduceL1": _reduction(
        lambda lib, x, axes, keeps: lib.abs(x).sum(axis=axes, keepdims=keeps)
    ),
    "ReduceL2": _reduction(_norm),
    "ReduceLogSumExp": _reduction(
        lambda lib, x, axes, keeps: jax.nn.logsumexp(
            jnp.asarray(x), axis=axes, keepdims=keeps
        )
    ),
    "ReduceMax": _plain("max"),
    "ReduceMean": _plain("mean"),
    "ReduceMin": _plain("min"),
    "ReduceProd": _plain("prod"),
    "ReduceSum": _plain("sum"),
    "ReduceSumSquare": _reduction(
        lambda lib, x, axes, keeps: lib.square(x).sum(axis=axes, keepdims=keeps)
    ),
}
