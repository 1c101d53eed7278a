"""The one definition of success: adversarial if and only if margin >= 0."""

import chex
import jax.numpy as jnp

from robust_jax.core.types import Array, Goal, Reach


def margin(logits: Array, goal: Goal) -> Array:
    """How far one example is past the decision boundary that its goal names.

    Best other logit minus the true one; for `Reach`, the target's logit minus the
    best other. Adversarial iff margin >= 0, so a tie is lost.
    Edge cases: one NaN among the logits, or infinities that cancel, give NaN;
    `verdict` decides what that means.

    Args:
        logits: shape [K], K >= 2.
        goal: the example's goal, scalar fields.
    Returns: the margin, shape [], in logit units.

    >>> rj.losses.margin(jnp.array([3.0, 1.0, 0.0]), rj.core.types.Untargeted(0))
    Array(-2., dtype=float32)
    >>> rj.losses.margin(jnp.array([3.0, 1.0, 0.0]), rj.core.types.Reach(0))
    Array(2., dtype=float32)
    """
    chex.assert_rank(logits, 1)
    index = goal.target if isinstance(goal, Reach) else goal.label
    is_index = jnp.arange(logits.shape[0]) == index
    own = jnp.sum(
        jnp.where(is_index, logits, 0)
    )  # A gather would forbid sharded logits.
    others = jnp.max(jnp.where(is_index, -jnp.inf, logits))
    return own - others if isinstance(goal, Reach) else others - own


def verdict(logits: Array, goal: Goal) -> Array:
    """The margin that decides: `margin`, but +inf if any logit is not finite.

    A model that answers without a number at a feasible point is not robust there.
    Non-finite logits at the clean input are an error; `core.checks` raises it.

    Args:
        logits: shape [K], K >= 2.
        goal: the example's goal, scalar fields.
    Returns: shape [], never NaN.

    >>> rj.core.margin.verdict(jnp.array([3.0, jnp.nan]), rj.core.types.Untargeted(0))
    Array(inf, dtype=float32)
    """
    return jnp.where(jnp.all(jnp.isfinite(logits)), margin(logits, goal), jnp.inf)
