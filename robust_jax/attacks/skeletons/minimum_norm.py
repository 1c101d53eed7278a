"""What minimum-norm attacks share: judge the iterate, keep the nearest, move on.

Such an attack minimises `threat.distance`; eps is a cap, and may be infinite. It says
where it starts and how it moves; the rest is here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import (
    Climb,
    Gradient,
    Query,
    exact,
)
from robust_jax.attacks.skeletons.common import chosen, nothing_seen, until_won
from robust_jax.core import checks, incumbent
from robust_jax.core.margin import verdict
from robust_jax.core.streams import OfItem, OfSteps
from robust_jax.core.types import (
    Array,
    Attack,
    Goal,
    Incumbent,
    Key,
    LogitsFn,
    Threat,
)
from robust_jax.losses import objectives

_ROUNDING = 1e-5  # Of eps; float32 rounds a displacement of 0.1 by less.


class NearState(NamedTuple):
    """State of one example; `iterate` is what the next call evaluates."""

    x: Array  # [*S]
    goal: Goal
    key: Key  # of the draws of a move and of a randomised gradient
    iterate: Array  # [*S], in the box
    own: Any  # what the attack remembers
    memory: Any  # of the gradient's estimator
    best: Incumbent
    i: Array  # [] int32
    forwards: Array  # [] int32
    backwards: Array  # [] int32


class Evaluated(NamedTuple):
    """What a call found at the iterate, and what is known with it."""

    value: Array  # [] of the objective
    grad: Array  # [*S] a direction that climbs it
    margin: Array  # [] of the iterate, adversarial iff >= 0
    distance: Array  # [] of the iterate
    best: Incumbent  # with the iterate judged


Start = Callable[[Key, Any, Array], tuple[Array, Any]]  # -> iterate, own
Move = Callable[[Any, NearState, Evaluated], tuple[Array, Any]]  # -> iterate, own
Keep = Callable[[Any, Array, Incumbent, Incumbent], Incumbent]  # see `minimum_norm`


def minimum_norm(
    objective: objectives.Objective,
    start: Start,
    move: Move,
    *,
    steps: int,
    gradient: Gradient | None = None,
    keep: Keep | None = None,
    over: Callable[[Any], Array | bool] = lambda own: False,
) -> Attack:
    """An attack that keeps the nearest adversarial iterate within eps.

    Args:
        objective: what is differentiated.
        start: (key, threat, x) -> the first iterate and what the attack remembers.
        move: (threat, state, at) -> the next iterate, which is clipped to the box,
            and what the attack remembers. `state.i` counts the moves before.
        steps: moves, >= 1, each of one estimate; one more call judges the last iterate.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
        keep: (threat, x, best, judged) -> which of the two incumbents stays; the
            nearest adversarial one within eps by default.
        over: what the attack remembers -> whether its schedule has ended, shape [];
            such an example counts as one whose budget is used.
    Raises: ValueError: steps < 1.
    """
    checks.positive_integer("steps", steps)
    estimator = exact() if gradient is None else gradient
    kept = keep_nearest if keep is None else keep

    def init(
        key: Key, threat: Threat, x: Array, goal: Goal, logits: Array
    ) -> NearState:
        iterate, own = start(key, threat, x)
        return first_state(estimator, iterate, own, key, x, goal)

    def step(logits_fn: LogitsFn, threat: Threat, state: NearState) -> NearState:
        climb: Climb = lambda logits: objective(logits, state.goal)  # noqa: E731
        key = jax.random.fold_in(state.key, state.i)
        query = Query(key, logits_fn, threat, climb, state.iterate)
        (value, logits, grad), memory = estimator.estimate(query, state.memory)
        margin = verdict(logits, state.goal)
        distance = threat.distance(state.iterate, state.x)
        judged = Incumbent(state.iterate, margin, distance)
        best = kept(threat, state.x, state.best, judged)
        at = Evaluated(value, grad, margin, distance, best)
        iterate, own = move(threat, state, at)
        return state._replace(
            iterate=in_box(threat, iterate),
            own=own,
            memory=memory,
            best=best,
            i=jnp.where(over(own), steps + 1, state.i + 1),
            forwards=state.forwards + estimator.forwards,
            backwards=state.backwards + estimator.backwards,
        )

    judge = _judging(kept) if estimator == exact() else None
    return until_won(init, step, steps + 1, judge)


def first_state(
    estimator: Gradient, iterate: Array, own: Any, key: Key, x: Array, goal: Goal
) -> NearState:
    """The state before the first call, of an attack that remembers `own`."""
    chex.assert_rank(jax.tree.leaves(goal), 0)  # One example; vmap makes many.
    return NearState(
        x=x,
        goal=goal,
        key=jax.random.fold_in(key, OfItem.NOISE),
        iterate=iterate,
        own=own,
        memory=estimator.init(x),
        **nothing_seen(x),
    )


def keep_nearest(
    threat: Threat, x: Array, best: Incumbent, judged: Incumbent
) -> Incumbent:
    """The adversarial point nearest to x within eps; see `incumbent.closest`."""
    return incumbent.closest(best, judged, threat.eps)


def in_box(threat: Threat, x: Array) -> Array:
    """x [*S], clipped to the threat's box."""
    return threats.Linf(jnp.inf, threat.lower, threat.upper).project(x, x)


def box_ends(threat: Threat, x: Array) -> tuple[Array, Array]:
    """The lower and the upper ends of the threat's box, each of the shape of x."""
    box = threats.Linf(jnp.inf, threat.lower, threat.upper)
    low, high = (
        box.project(jax.tree.map(lambda a: jnp.full_like(a, end), x), x)  # noqa: B023
        for end in (-jnp.inf, jnp.inf)
    )
    return low, high


def largest_radius(threat: Threat, x: Array) -> Array:
    """The radius that an iterate around x may have, shape [].

    Slightly below eps, so that rounding does not carry it out; at most the distance to
    the farthest corner of the box.
    """
    low, high = box_ends(threat, x)
    corner = jax.tree.map(
        lambda a, down, up: jnp.where(a - down > up - a, down, up), x, low, high
    )
    rounding = 0 if isinstance(threat, threats.L0) else _ROUNDING
    return jnp.minimum((1 - rounding) * threat.eps, threat.distance(corner, x))


def along(x: Array, length: ArrayLike, direction: Array) -> Array:
    """x + length * direction in the dtype of x; any pytree."""
    return jax.tree.map(lambda a, d: (a + length * d).astype(a.dtype), x, direction)


def half_cosine(last: float, steps: int, i: Array) -> Array:
    """From 1 at call 0 to `last` at call `steps`, by half a cosine; shape []."""
    turn = jnp.pi * jnp.minimum(i, steps) / steps
    return (1 - last) * (1 + jnp.cos(turn)) / 2 + last


def unit_or_random(state: NearState, grad: Array) -> Array:
    """The gradient at Euclidean length one; a random direction if it is zero."""
    sphere = threats.L2(1.0, -jnp.inf, jnp.inf)
    leaves, structure = jax.tree.flatten(grad)
    key = jax.random.fold_in(state.key, OfSteps.WAY_OUT)
    keys = jax.random.split(jax.random.fold_in(key, state.i), len(leaves))
    noise = [
        jax.random.normal(k, (g.size,), g.dtype).reshape(g.shape)  # Compiles faster.
        for k, g in zip(keys, leaves, strict=True)
    ]
    largest = jax.tree.reduce(
        jnp.maximum, jax.tree.map(lambda g: jnp.max(jnp.abs(g)), grad)
    )
    known = chosen(largest > 0, grad, jax.tree.unflatten(structure, noise))
    return sphere.steepest(known, state.x)


def _judging(kept: Keep) -> Callable[..., NearState]:
    """How to judge the last iterate by one forward, without a gradient."""

    def judge(logits_fn: LogitsFn, threat: Threat, state: NearState) -> NearState:
        score = verdict(logits_fn(state.iterate), state.goal)
        distance = threat.distance(state.iterate, state.x)
        here = Incumbent(state.iterate, score, distance)
        best = kept(threat, state.x, state.best, here)
        return state._replace(best=best, i=state.i + 1, forwards=state.forwards + 1)

    return judge
