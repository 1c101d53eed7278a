"""Refusing bad input with one sentence: the argument, its value and the remedy.

Factories check their Python arguments when they are called; the host layer checks
arrays before anything runs. Nothing is repaired silently. Traced numbers pass: the
factory that traces its body has been called with their values before.
"""

import difflib
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

_SIMPLEX_TOLERANCE = 1e-4  # Softmax outputs sum to one; logits practically never do.


def is_traced(value: Any) -> bool:
    """Whether a number has no value yet; see `core.factories`."""
    return isinstance(value, jax.core.Tracer)


def holds(name: str, value: Any, condition: Callable[[Any], bool], wanted: str) -> None:
    """Raises ValueError unless `value` is a number for which the condition holds."""
    if is_traced(value):
        return
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (is_number and condition(value)):
        raise ValueError(f"{name}={value!r}; expected {wanted}")


def positive_integer(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is an integer >= 1."""
    if is_traced(value):
        return
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name}={value!r}; expected an integer >= 1")


def positive_number(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is a finite number > 0."""
    holds(name, value, lambda v: math.isfinite(v) and v > 0, "a finite number > 0")


def non_negative_number(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is a finite number >= 0."""
    holds(name, value, lambda v: math.isfinite(v) and v >= 0, "a finite number >= 0")


def share(name: str, value: Any) -> None:
    """Raises ValueError unless `value` is a number in (0, 1)."""
    holds(name, value, lambda v: 0 < v < 1, "a number in (0, 1)")


def known_name(kind: str, value: str, known: Iterable[str]) -> None:
    """Raises ValueError with the known names and the nearest one."""
    names = sorted(known)
    if value not in names:
        near = difflib.get_close_matches(value, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown {kind} {value!r}{hint} (known: {', '.join(names)})")


def threat(attack: str, given: Any, *names: str) -> None:
    """Raises ValueError unless a threat has one of the names, such as "l2"."""
    if given.name not in names:
        known = " or ".join(name.capitalize() for name in names)
        raise ValueError(
            f"threat={type(given).__name__}; expected {known} for {attack}"
        )


def eps(norm: str, value: Any, *, cap: bool = False) -> None:
    """Raises ValueError for a radius that no attack can use.

    Args:
        norm: "linf", "l2", "l1", "l0" or "patch".
        value: the radius or radii, pixel units of [0, 1]; coordinates for l0; a
            patch's side in pixels.
        cap: the radius caps a minimum-norm attack, so inf is allowed.
    """
    radii = np.atleast_1d(np.asarray(value, np.float64))
    bad = np.isnan(radii) | (radii < 0) | (np.isinf(radii) & (not cap))
    if bad.any():
        raise ValueError(
            f"eps={radii[bad][0]:g}; expected a finite radius >= 0 in pixel units"
        )
    if norm == "linf" and not cap and (radii > 1).any():
        big = radii[radii > 1][0]
        raise ValueError(
            f"eps={big:g} with pixels in [0, 1] allows any image; if it is in 0-255 "
            f"units, pass {big:g}/255"
        )


def images(value: Any, *, lower: Any = 0.0, upper: Any = 1.0) -> None:
    """Raises ValueError unless `value` is a non-empty float batch inside the box."""
    array = np.asarray(value)
    if array.ndim < 2 or array.shape[0] == 0:
        raise ValueError(
            f"images.shape={array.shape}; expected a non-empty batch [B, *S]; "
            "add a leading axis to a single example"
        )
    if not jax.dtypes.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"images.dtype={array.dtype}; expected floats in [0, 1]; "
            "convert with images.astype('float32') / 255"
        )
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        first = int(np.argwhere(~np.isfinite(array))[0][0])
        raise ValueError(
            f"images[{first}] holds NaN or inf; remove or repair this example"
        )
    low, high = np.asarray(lower, np.float32), np.asarray(upper, np.float32)
    if (array < low).any() or (array > high).any():
        raise ValueError(
            f"images range over [{array.min():g}, {array.max():g}], outside the "
            f"threat's box [{np.min(lower):g}, {np.max(upper):g}]; scale them to the "
            "box and put the normalisation inside the model"
        )


def labels(value: Any, n: int, num_classes: int) -> None:
    """Raises ValueError unless `value` holds n integer labels in [0, num_classes)."""
    array = np.asarray(value)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"labels.dtype={array.dtype}; expected integers; "
            "convert class indices with labels.astype('int32')"
        )
    if array.shape != (n,):
        raise ValueError(
            f"labels.shape={array.shape}; expected ({n},), one class index per image"
        )
    bad = (array < 0) | (array >= num_classes)
    if bad.any():
        first = int(np.argmax(bad))
        raise ValueError(
            f"labels[{first}]={array[first]} for a model with {num_classes} outputs; "
            f"expected 0 to {num_classes - 1}; check the labels and the model's head"
        )


def clean_logits(value: Any) -> None:
    """Raises ValueError unless `value` [B, K] are finite logits, not probabilities."""
    array = np.asarray(value, np.float32)
    if array.ndim != 2 or array.shape[1] < 2:
        raise ValueError(
            f"the model gave outputs of shape {array.shape[1:]} per example; expected "
            "[K] logits with K >= 2"
        )
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        first = int(np.argmin(finite))
        raise ValueError(
            f"the model's logits at clean image {first} are not finite; mend the model "
            "or its weights before any robustness is measured"
        )
    sums_to_one = np.abs(array.sum(axis=1) - 1) < _SIMPLEX_TOLERANCE
    if (array >= 0).all() and sums_to_one.all():
        raise ValueError(
            "the model returns probabilities (each row is >= 0 and sums to 1); return "
            "the logits before the softmax, since its saturation hides gradients"
        )
