"""What the drivers of a batch are given, refused with one sentence where it has values.

A driver that is called with arrays checks them before anything is compiled; inside a
trace values are not known, and what is pure checks nothing.
"""

import functools
import itertools
from typing import Any

import jax
import numpy as np
from jax.tree_util import Partial

from robust_jax.core import boxes, checks
from robust_jax.core.compiling import compiled
from robust_jax.core.types import Goal, Key


def check(keys: Key, logits_fn: Partial, threat: Any, x: Any, goal: Goal) -> None:
    """Raises ValueError for a batch that no attack can be asked about.

    The model is traced once, for its shapes; it is not run.

    Args:
        keys: one per example, shape [B].
        logits_fn: the model on one example.
        threat: fields as `core.lift.threat_per_example` takes them.
        x: shape [B, *S], or a pytree of such.
        goal: fields of shape [B].
    """
    if any(map(checks.is_traced, jax.tree.leaves((keys, logits_fn, threat, x, goal)))):
        return
    n = len(jax.tree.leaves(x)[0])
    if np.shape(keys) != (n,):
        raise ValueError(
            f"keys.shape={np.shape(keys)}; expected ({n},), one key per image, such as "
            "lift.item_keys(seed, ids) gives"
        )
    check_examples(logits_fn, threat, x, goal)


def check_examples(logits_fn: Partial, threat: Any, x: Any, goal: Goal) -> None:
    """As `check`, without keys."""
    if any(map(checks.is_traced, jax.tree.leaves((logits_fn, threat, x, goal)))):
        return
    leaves = jax.tree.leaves(x)
    if not hasattr(threat, "apply"):  # Whose box is that of parameters.
        faces = (jax.tree.leaves(face) for face in (threat.lower, threat.upper))
        for leaf, low, high in zip(leaves, *map(itertools.cycle, faces), strict=False):
            pixels, low, high = map(np.asarray, jax.device_get((leaf, low, high)))
            boxes.inside(pixels, threat._replace(lower=low, upper=high), "x")
    answers = _answers().eval_shape(logits_fn, x)
    shape: tuple[int, ...] = getattr(answers, "shape", ())[1:]
    if len(shape) != 1 or shape[0] < 2:
        raise ValueError(
            f"the model's outputs, of one example, have the shape {shape}; expected "
            "[K] logits with K >= 2"
        )
    for name, value in goal._asdict().items():
        classes = jax.device_get(value), len(leaves[0]), *shape
        checks.labels(*classes, name=f"goal.{name}")


@functools.cache
def _answers() -> Any:
    """Only ever asked for its shape, which JAX remembers."""
    return compiled(lambda logits_fn, x: jax.vmap(logits_fn)(x))
