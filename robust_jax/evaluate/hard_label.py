"""A search that sees the predicted class alone: for what hides gradients and scores.

Rays to the corners of a cube, whose signs are flipped in blocks, coarse ones first;
how far along a ray the class changes is found by bisection. The idea is that of RayS
(Chen & Gu, KDD 2020), written as one model call per step, for any norm, and with an end
for examples that are out of reach, so that a plan can afford to ask all of them.
"""

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from robust_jax.attacks.skeletons.common import nothing_seen, until_won
from robust_jax.core import checks, incumbent
from robust_jax.core.factories import factory
from robust_jax.core.margin import verdict
from robust_jax.core.narrow import counted
from robust_jax.core.types import Array, Attack, Goal, Incumbent, Key, LogitsFn, Threat

QUERIES = 300  # Of a plan's search by labels, and of an audit's.
_HALVINGS = 7  # Of the radius on a better ray: known to 1 % of it, then the next ray.
_LEAST = 50  # Queries before a search may give up.
# It gives up beyond eps * (1 + _HOPE / sqrt(queries)): 1.7 eps after 50 queries, 1.25
# after 400. Of what 400 queries broke on five nets of digits, MNIST and CIFAR-10 nine
# tenths were nearer than that on the way; of what held, four fifths are given up early.
_HOPE = 5.0
_UNBOUNDED = 8.0  # Radii: how far a ray goes where the box has no end.


class HardLabelState(NamedTuple):
    """State of one example: the best ray, and the ray that is being tried."""

    x: Array  # [*S]
    goal: Goal
    signs: Array  # [*S] of the best ray
    trial: Array  # [*S] signs of the ray that is being tried
    low: Array  # [] the bisection's lower end, a multiple of the box's width
    high: Array  # [] the least reach at which a ray was adversarial
    halvings: Array  # [] int32 left on this ray; 0: the next call tries another ray
    rays: Array  # [] int32 tried so far
    best: Incumbent
    i: Array  # [] int32
    forwards: Array  # [] int32
    backwards: Array  # [] int32, 0


@factory()
def hard_label(queries: int = QUERIES) -> Attack:
    """The nearest change of class along the corners of a cube; labels alone are read.

    Ray n flips one block of the best ray's signs: all of them, halves, quarters, ...
    A ray that is adversarial at the present reach is bisected and becomes the best
    one. Reach is measured in widths of the box along each coordinate; a point of the
    ray is clipped to the box, and counts once its distance is at most eps. After 50
    queries an example is given up whose nearest change of class is far beyond eps.
    Guarantees: the result is feasible; nothing but the sign of the margin steers the
    search; at least as strong as the clean input; deterministic; dtype kept.
    Edge cases: eps = 0 finds nothing; where no corner of the box is adversarial it
    ends after 50 queries; an unbounded box counts as 8 radii wide to each side;
    non-finite logits are a success.

    Args:
        queries: model calls, >= 1.
    Raises: ValueError: if queries is not an integer >= 1.
    References: Chen & Gu, "RayS: A Ray Searching Method for Hard-label Adversarial
        Attack", KDD 2020, Alg. 2 and 3. Differs from the authors' code in: seven
        halvings per ray; blocks of nearly equal length at every level; any norm; after
        50 queries it gives up what is beyond eps (1 + 5 / sqrt(queries)).
    """
    checks.positive_integer("queries", queries)

    def done(threat: Threat, state: HardLabelState) -> Array:
        asked = jnp.maximum(state.i, 1).astype(state.high.dtype)
        nearest = _point(threat, state.x, state.signs, state.high)
        near = threat.eps * (1 + _HOPE / jnp.sqrt(asked))
        is_far = threat.distance(nearest, state.x) > near
        hopeless = (state.halvings == 0) & (state.i >= _LEAST) & is_far
        return (state.best.margin >= 0) | (state.i >= queries) | hopeless

    def step(
        logits_fn: LogitsFn, threat: Threat, state: HardLabelState
    ) -> HardLabelState:
        bisects = state.halvings > 0
        ray = _ray(state.rays, state.x.size)
        trial = jnp.where(bisects, state.trial, _flipped(state.signs, *ray))
        reach = jnp.where(bisects, (state.low + state.high) / 2, state.high)
        point = _point(threat, state.x, trial, reach)
        score = verdict(logits_fn(point), state.goal)
        wins, distance = score >= 0, threat.distance(point, state.x)
        better = wins & ~bisects
        here = Incumbent(point, score, distance)
        halvings = jnp.where(better, _HALVINGS, jnp.maximum(state.halvings - 1, 0))
        low = jnp.where(bisects & ~wins, reach, state.low)
        return state._replace(
            signs=jnp.where(wins, trial, state.signs),
            trial=trial,
            low=jnp.where(better, 0.0, low),
            high=jnp.where(wins, reach, state.high),
            halvings=halvings,
            rays=state.rays + ~bisects,
            best=incumbent.closest(state.best, here, threat.eps),
            i=state.i + 1,
            forwards=state.forwards + 1,
        )

    return until_won(_first_state, step, queries)._replace(done=done)


def _first_state(
    key: Key, threat: Threat, x: Array, goal: Goal, logits: Array
) -> HardLabelState:
    chex.assert_rank(jax.tree.leaves(goal), 0)  # One example; vmap makes many.
    zero = jnp.zeros((), jnp.int32)
    down = jnp.full(x.shape, -1, jnp.int8)  # The first ray flips all: upwards.
    return HardLabelState(
        x=x,
        goal=goal,
        signs=down,
        trial=down,
        low=jnp.float32(0),
        high=jnp.float32(1),
        halvings=zero,
        rays=zero,
        **nothing_seen(x),
    )


def _ray(number: Array, size: int) -> tuple[Array, Array]:
    """Level and block of a ray, [] int32 each: level l has 2^l blocks.

    After the level whose blocks are single coordinates it begins anew.
    """
    levels = math.ceil(math.log2(size)) + 1
    place = number % (2**levels - 1) + 1  # Of a heap: level l begins at 2^l.
    level = counted(place >= 2 ** jnp.arange(1, levels))
    return level, place - 2**level


def _flipped(signs: Array, level: Array, block: Array) -> Array:
    """The signs with one of 2^level blocks of coordinates flipped; int8 [*S]."""
    place = jnp.arange(signs.size).reshape(signs.shape) / signs.size
    mine = jnp.floor(place * 2.0**level) == block
    return jnp.where(mine, -signs, signs)


def _point(threat: Threat, x: Array, signs: Array, reach: Array) -> Array:
    width = jnp.asarray(threat.upper) - jnp.asarray(threat.lower)
    width = jnp.where(jnp.isfinite(width), width, _UNBOUNDED * threat.eps)
    moved = x + reach * width * signs
    return jnp.clip(moved, threat.lower, threat.upper).astype(x.dtype)
