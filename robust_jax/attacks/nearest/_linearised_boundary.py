"""The decision boundary that a linearised net puts nearest, and the way to it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.attacks.gradients.estimator import Climb, Estimate, Gradient, Query
from robust_jax.attacks.skeletons.common import chosen
from robust_jax.core.types import (
    Array,
    Goal,
    Key,
    LogitsFn,
    NormBall,
    Threat,
    Untargeted,
)
from robust_jax.losses import classification, objectives

_BLOCK = 10  # Classes whose gradients are in memory at a time.


class BoundaryQuery(NamedTuple):
    """What is asked of an example's boundaries. As `gradients.Query`, for any class."""

    key: Key
    logits_fn: LogitsFn
    threat: NormBall
    here: Array  # [*S]
    goal: Goal


class Passes(NamedTuple):
    """What estimates have cost."""

    forwards: int
    backwards: int


def nearest(
    estimator: Gradient, query: BoundaryQuery, memory: Any
) -> tuple[Estimate, Any, Passes]:
    """The estimate of the boundary to go to, the memory and what was paid.

    `Untargeted` asks for the boundaries to all other classes, K - 1 gradients, and
    takes the one that is nearest in the threat's norm; `Towards` that between label and
    target; `Reach` that between the target and the best other class. The value is
    the lead of the other class: below zero on this side of its boundary.
    No more than ten gradients are in memory at a time, however many classes there are;
    each ten of them need a forward of their own.
    """
    return _chosen(
        estimator, query, memory, lambda estimates: _distance(query, estimates)
    )


def crossed(
    estimator: Gradient, query: BoundaryQuery, memory: Any
) -> tuple[Estimate, Any, Passes]:
    """As `nearest`; once other classes lead, the boundary to the one that leads most.

    That is the boundary which an adversarial point has crossed.
    """

    def rank(estimates: Estimate) -> Array:
        leads = jnp.isfinite(estimates.value) & (estimates.value >= 0)
        return jnp.where(leads, -estimates.value, _distance(query, estimates))

    return _chosen(estimator, query, memory, rank)


def _distance(query: BoundaryQuery, estimates: Estimate) -> Array:
    """How far the boundaries are in the threat's norm; inf where that is not known."""
    dual = jax.vmap(query.threat.dual)(estimates.grad)
    known = (dual > 0) & jnp.isfinite(estimates.value)
    distance = jnp.abs(estimates.value) / jnp.where(known, dual, 1)
    return jnp.where(known, distance, jnp.inf)


def _chosen(
    estimator: Gradient,
    query: BoundaryQuery,
    memory: Any,
    rank: Callable[[Estimate], Array],
) -> tuple[Estimate, Any, Passes]:
    """What `nearest` says; of all other classes' estimates that of the least rank."""
    goal = query.goal

    def estimated(climb: Climb) -> tuple[Estimate, Any]:
        at = Query(query.key, query.logits_fn, query.threat, climb, query.here)
        return estimator.estimate(at, memory)

    if not isinstance(goal, Untargeted):
        estimate, memory = estimated(lambda logits: objectives.margin(logits, goal))
        return estimate, memory, Passes(estimator.forwards, estimator.backwards)
    count = jax.eval_shape(query.logits_fn, query.here).shape[0] - 1

    def towards(other: Array) -> Estimate:
        return estimated(
            lambda logits: classification.logit_difference(logits, goal.label, other)
        )[0]

    def least(others: Array) -> tuple[Array, Estimate]:
        estimates = jax.vmap(towards)(others)  # What no class decides runs once.
        ranks = rank(estimates)
        index = jnp.argmin(ranks)
        return jax.tree.map(lambda a: a[index], (ranks, estimates))

    blocks = -(-count // _BLOCK)
    paid = Passes(blocks * estimator.forwards, count * estimator.backwards)
    places = np.arange(count)
    if blocks > 1:  # The last block is filled up with its last class.
        places = np.minimum(np.arange(blocks * _BLOCK), count - 1)
        places = places.reshape(blocks, _BLOCK)
    others = (goal.label + 1 + places.astype(np.int32)) % (count + 1)
    estimate = least(others)[1] if blocks == 1 else _least_of_blocks(least, others)
    return estimate, memory, paid


def _least_of_blocks(
    least: Callable[[Array], tuple[Array, Estimate]], blocks: Array
) -> Estimate:
    """The estimate of the least rank, a block at a time; of equal ones the first."""

    def further(best: tuple[Array, Estimate], others: Array) -> tuple[Any, None]:
        new = least(others)
        return chosen(best[0] <= new[0], best, new), None

    shapes = jax.eval_shape(least, blocks[0])
    nothing = jax.tree.map(lambda a: jnp.full(a.shape, jnp.nan, a.dtype), shapes)
    return jax.lax.scan(further, nothing, blocks)[0][1]


def climbed(grad: Array, here: Array, x: Array) -> Array:
    """grad @ (here - x), shape [], in float32 at least; any pytree."""
    leaves = jax.tree.map(
        lambda g, a, b: jnp.sum(g * (a - b), dtype=jnp.promote_types(g.dtype, "f4")),
        grad,
        here,
        x,
    )
    return jax.tree.reduce(jnp.add, leaves)


def check_use(
    attack: str, threat: Threat, goal: Goal | None = None, memory: Any = ()
) -> None:
    """Raises ValueError for a threat without hyperplanes, or a memory for all classes.

    Args:
        attack: its name, for the sentence.
        threat, goal: of the attack.
        memory: of the gradient's estimator, for attacks that ask for all classes.
    """
    if not hasattr(threat, "cross"):
        raise ValueError(
            f"threat={type(threat).__name__}; expected Linf, L2 or L1 for {attack}, "
            "which needs the distance to a hyperplane; use an attack made for this "
            "threat"
        )
    if isinstance(goal, Untargeted) and jax.tree.leaves(memory):
        raise ValueError(
            "goal=Untargeted with a gradient that has a memory; expected one without "
            f"for {attack}, which asks it for every class at once; use Towards"
        )
