"""What an argument may be, by its annotation: functions, tuples of functions, flags.

Numbers and names are left to the bodies of factories, which know their ranges.
"""

import numbers
import types
import typing
from collections.abc import Callable
from typing import Any

import numpy as np

from robust_jax.core import checks


def allowed(annotation: Any) -> tuple[Any, ...]:
    """The kinds of an argument; () where its annotation names any other."""
    is_union = typing.get_origin(annotation) in (types.UnionType, typing.Union)
    kinds = typing.get_args(annotation) if is_union else (annotation,)
    return tuple(kinds) if all(map(_is_known, kinds)) else ()


def check(name: str, value: Any, kinds: tuple[Any, ...]) -> None:
    """Raises TypeError unless a value is of one of the kinds, if there are any."""
    for kind in kinds:
        is_function = _is_function(kind) and callable(value)
        if is_function or (isinstance(kind, type) and isinstance(value, kind)):
            return
    if kinds:
        wanted = " or ".join(map(_named, kinds))
        raise TypeError(f"{name}={checks.shown(value)}; expected {wanted}")


def check_number(name: str, value: Any, annotation: Any) -> None:
    """Raises TypeError for an array or anything else in place of one number."""
    if annotation not in (int, float) or checks.is_traced(value):
        return
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    is_array = isinstance(getattr(value, "dtype", None), np.dtype)
    if not is_number and not (is_array and np.ndim(value) == 0):
        raise TypeError(f"{name}={checks.shown(value)}; expected a number")


def _is_known(kind: Any) -> bool:
    if kind in (bool, types.NoneType) or _is_function(kind):
        return True
    return isinstance(kind, type) and issubclass(kind, tuple)


def _is_function(kind: Any) -> bool:
    return typing.get_origin(kind) is Callable


def _named(kind: Any) -> str:
    if _is_function(kind):
        return "a function"
    known = {bool: "True or False", types.NoneType: "None"}
    return known.get(kind, f"a {kind.__name__}")
