"""What an attacker climbs: scalars of (logits [K], goal) that grow towards success.

The only place where the sign of a loss is flipped. The kind of the goal is static, so
each objective picks its formula while tracing.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax.typing import ArrayLike

from robust_jax.core.margin import margin as success_margin
from robust_jax.core.types import Array, Goal, Reach, Towards, Untargeted
from robust_jax.losses import classification

Objective = Callable[[Array, Goal], Array]  # ([K], goal) -> []


def cross_entropy(logits: Array, goal: Goal) -> Array:
    """The label's cross entropy; with a target, minus the target's.

    Edge cases: see `classification.cross_entropy`; vanishes where the model is sure.

    Args:
        logits: shape [K], K >= 2.
        goal: the example's goal, scalar fields.
    Returns: shape [], to be climbed.

    >>> goal = rj.core.types.Untargeted(0)
    >>> rj.losses.objectives.cross_entropy(jnp.array([2.0, 1.0, 0.0]), goal)
    Array(0.408, dtype=float32)
    """
    if isinstance(goal, Untargeted):
        return classification.cross_entropy(logits, goal.label)
    return -classification.cross_entropy(logits, goal.target)


def margin(logits: Array, goal: Goal) -> Array:
    """The best other logit minus the label's (Carlini & Wagner, 2017).

    `Towards` climbs the target's logit minus the label's, since any error will do;
    `Reach` the target's minus the best other.
    Edge cases: see `core.margin`.

    Args:
        logits: shape [K], K >= 2.
        goal: the example's goal, scalar fields.
    Returns: shape [], to be climbed.

    >>> goal = rj.core.types.Towards(0, 2)
    >>> rj.losses.objectives.margin(jnp.array([2.0, 1.0, 0.0]), goal)
    Array(-2., dtype=float32)
    """
    if isinstance(goal, Towards):
        return classification.logit_difference(logits, goal.label, goal.target)
    return success_margin(logits, goal)


def dlr(logits: Array, goal: Goal) -> Array:
    """The difference of logits ratio; `Towards` climbs the targeted one.

    The targeted ratio needs a label; for `Reach` it is the best other class. (The
    plain one, with the target as label, is constant while the target is third.)
    Edge cases: see `classification.dlr` and `classification.targeted_dlr`.

    Args:
        logits: shape [K], K >= 4, or 3 for `Untargeted`.
        goal: the example's goal, scalar fields.
    Returns: shape [], to be climbed.
    Raises: ValueError: with fewer classes.

    >>> goal = rj.core.types.Untargeted(0)
    >>> rj.losses.objectives.dlr(jnp.array([3.0, 1.0, 0.0]), goal)
    Array(-0.667, dtype=float32)
    """
    if isinstance(goal, Untargeted):
        return classification.dlr(logits, goal.label)
    label = _best_other(logits, goal.target) if isinstance(goal, Reach) else goal.label
    return classification.targeted_dlr(logits, label, goal.target)


def _best_other(logits: Array, index: ArrayLike) -> Array:
    is_index = jnp.arange(logits.shape[0]) == index
    return jnp.argmax(jnp.where(is_index, -jnp.inf, logits))
