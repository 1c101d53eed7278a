"""What the drivers of a batch are given, refused with one sentence where it has values.

A driver that is called with arrays checks them before anything is traced or compiled;
inside a trace values are not known, and what is pure checks nothing.
"""

import functools
import itertools
from typing import Any

import jax
import numpy as np
from jax.tree_util import Partial

from robust_jax.core import array_checks, boxes, checks, outputs
from robust_jax.core.compiling import compiled
from robust_jax.core.types import (
    Goal,
    Key,
    LogitsFn,
    ParametricThreat,
    Reach,
    Threat,
    Towards,
    Untargeted,
)

_EXAMPLES = "an array of floats [B, *S], or a pytree of such"


def check(keys: Key, logits_fn: LogitsFn, threat: Threat, x: Any, goal: Goal) -> None:
    """Raises ValueError or TypeError for a batch that no attack can be asked about.

    The model is not traced; see `check_logits`.

    Args:
        keys: one per example, shape [B].
        logits_fn: the model on one example.
        threat: fields as `core.lift.threat_per_example` takes them.
        x: shape [B, *S], or a pytree of such.
        goal: fields of shape [B].
    """
    if is_traced(keys, logits_fn, threat, x, goal):
        return
    n = _count(x)
    wanted = "one key per image, such as lift.item_keys(seed, ids) gives"
    _check_keys("keys", keys, (n,), wanted)
    _check_examples(logits_fn, threat, x, goal)


def check_set(
    key: Key, logits_fn: LogitsFn, threat: Threat, x: Any, goal: Goal
) -> None:
    """As `check`, of a set of examples that share a key; x is one array."""
    if is_traced(key, logits_fn, threat, x, goal):
        return
    if not _is_array(x):
        raise TypeError(f"x={checks.shown(x)}; expected an array of floats [N, *S]")
    _count(x)
    lattice = getattr(threat, "lattice", None)
    if lattice is not None:
        raise ValueError(
            f"lattice={checks.shown(lattice)}; expected None for an attack that "
            "many examples share; round what it finds"
        )
    _check_keys("key", key, (), "one key, such as jax.random.key(0)")
    _check_examples(logits_fn, threat, x, goal)


def check_logits(logits_fn: Partial, x: Any, goal: Goal) -> None:
    """Raises ValueError for a model without logits, or a goal that is not among them.

    The model is traced once, for its shapes; it is not run.
    """
    if is_traced(logits_fn, x, goal):
        return
    one = lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype)  # noqa: E731
    answer = jax.tree.map(one, _answers().eval_shape(logits_fn, x))
    outputs.check_logits(answer, jax.tree.map(one, x))
    (classes,) = answer.shape
    for name, value in vars(goal).items():
        classified = jax.device_get(value)
        array_checks.labels(classified, len(classified), classes, name=f"goal.{name}")


def check_start(start: Any, state: Any, x: Any) -> None:
    """Raises ValueError or TypeError for first iterates that an attack cannot have."""
    if is_traced(start, state, x):
        return
    if not hasattr(state, "iterate"):
        raise ValueError(
            f"start={checks.shown(start)}; expected None, as the attack has no iterate"
        )
    if not _is_array(start) or np.shape(start) != np.shape(x):
        form = (
            f".shape={start.shape}" if _is_array(start) else f"={checks.shown(start)}"
        )
        raise ValueError(
            f"start{form}; expected an array of floats {np.shape(x)}, as x"
        )
    array_checks.floats("start", array_checks.array("start", start, _EXAMPLES))


def is_traced(*given: Any) -> bool:
    """Whether anything has no value yet."""
    return any(map(checks.is_traced, jax.tree.leaves(given)))


def _check_examples(logits_fn: LogitsFn, threat: Threat, x: Any, goal: Goal) -> None:
    outputs.check_callable("logits_fn", logits_fn)
    _check_threat(threat, x)
    if not isinstance(goal, Untargeted | Towards | Reach):
        raise TypeError(
            f"goal={checks.shown(goal)}; expected one of core.types, such as "
            "Untargeted(labels)"
        )
    for name, value in vars(goal).items():
        _refuse_list(f"goal.{name}", value)
        array_checks.labels(jax.device_get(value), _count(x), name=f"goal.{name}")


def _count(x: Any) -> int:
    """How many examples there are.

    Raises: ValueError, TypeError: no arrays of floats, of as many examples each.
    """
    leaves = jax.tree.leaves(x)
    if not leaves or not all(map(_is_array, leaves)):
        raise TypeError(f"x={checks.shown(x)}; expected {_EXAMPLES}")
    for leaf in leaves:
        made = array_checks.floats("x", array_checks.array("x", leaf, _EXAMPLES))
        if made.size == 0 or made.shape[:1] != np.shape(leaves[0])[:1]:
            shapes = ", ".join(str(np.shape(leaf)) for leaf in leaves)
            raise ValueError(
                f"x of shape {shapes}; expected a non-empty batch {_EXAMPLES}, each "
                "with as many examples"
            )
    return len(leaves[0])


def _check_keys(name: str, keys: Any, shape: tuple[int, ...], wanted: str) -> None:
    if not _is_array(keys):
        raise TypeError(f"{name}={checks.shown(keys)}; expected {wanted}")
    if keys.shape != shape:
        raise ValueError(f"{name}.shape={keys.shape}; expected {shape}, {wanted}")
    if not jax.dtypes.issubdtype(keys.dtype, jax.dtypes.prng_key):
        raise TypeError(f"{name}.dtype={keys.dtype}; expected {wanted}")


def _check_threat(threat: Threat, x: Any) -> None:
    boxes.check_kind(threat)
    _refuse_list("eps", threat.eps)
    leaves, faces = jax.tree.leaves(x), []
    narrow = [n for n in ("mask", "scale") if getattr(threat, n, None) is not None]
    if narrow and not _is_array(x):
        raise TypeError(
            f"x={checks.shown(x)} with {narrow[0]} in the threat; expected one array "
            "[B, *S]; close what may not change by the box instead, lower = upper = x"
        )
    for side in ("lower", "upper"):
        face = getattr(threat, side)
        if _is_array(x):
            _refuse_list(side, face)
        faces.append(jax.tree.leaves(face, is_leaf=lambda part: part is None))
        if len(faces[-1]) not in (1, len(leaves)):
            raise ValueError(
                f"{side} of the threat's box has {len(faces[-1])} parts and x has "
                f"{len(leaves)}; expected as many, or a number"
            )
    for leaf, low, high in zip(leaves, *map(itertools.cycle, faces), strict=False):
        pixels, low, high = map(_on_host, (leaf, low, high))
        part = threat.replace(lower=low, upper=high)
        boxes.check(part, pixels.shape, cap=True)
        if not isinstance(threat, ParametricThreat):  # Whose box is that of parameters.
            boxes.inside(pixels, part, "x")


def _refuse_list(name: str, value: Any) -> None:
    """Raises TypeError for what JAX takes for many arrays."""
    if isinstance(value, list | tuple):
        raise TypeError(
            f"{name}={checks.shown(value)}; expected a number or an array; "
            f"pass np.asarray({name})"
        )


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | jax.Array)


def _on_host(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, jax.Array) else value


@functools.cache
def _answers() -> Any:
    """Only ever asked for its shape, which JAX remembers."""
    return compiled(lambda logits_fn, x: jax.vmap(logits_fn)(x))
