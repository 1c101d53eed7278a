"""Attacks that try points, and keep the strongest: worst of k, and a grid."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from robust_jax.attacks.skeletons.common import until_won
from robust_jax.core import checks, incumbent
from robust_jax.core.facts import SCORES, attack
from robust_jax.core.margin import verdict
from robust_jax.core.types import (
    Array,
    Attack,
    Goal,
    Incumbent,
    Key,
    LogitsFn,
    Threat,
)


class TriedState(NamedTuple):
    """State of one example."""

    x: Array  # [*S]
    goal: Goal
    key: Key
    best: Incumbent
    i: Array  # [] int32
    forwards: Array  # [] int32
    backwards: Array  # [] int32, 0


Points = Callable[[Key, Any, Array, Array], Array]  # (key, threat, x, i) -> [*S]


@attack(
    paper="Engstrom et al., ICML 2019",
    norms=("linf", "l2", "l1", "l0", "patch"),
    sees=SCORES,
    per_step=(1, 0),
)
def worst_of(queries: int = 10) -> Attack:
    """The strongest of random points of the threat set.

    Guarantees: every point is feasible; at least as strong as the clean input, and
        as with fewer of them; deterministic in key.

    Args:
        queries: samples of the threat (`threat.sample`), >= 1.
    Raises: ValueError: queries is not an integer >= 1.
    References: "worst-of-k" of Engstrom et al., "Exploring the Landscape of Spatial
        Robustness", ICML 2019 (k = 10), here for any threat.

    >>> rj.attacks.worst_of(queries=100)
    worst_of(queries=100)
    """
    checks.positive_integer("queries", queries)

    def point(key: Key, threat: Threat, x: Array, i: Array) -> Array:
        return threat.sample(jax.random.fold_in(key, i), x)

    return _tried(point, queries)


@attack(
    paper="Engstrom et al., ICML 2019",
    norms=("rotation-translation", "flow", "colour-shift"),
    sees=SCORES,
)
def grid(counts: tuple[int, ...] = (31, 5, 5)) -> Attack:
    """The strongest of all points of a grid in a threat of few parameters.

    Guarantees: as `worst_of`; does not depend on the key.

    Args:
        counts: points along each parameter, evenly from minus eps to eps, >= 1 each;
            one is the middle. Their product is the number of evaluations. By default
            the rotations and shifts of the paper.
    Raises: ValueError: a count that is not an integer >= 1; while tracing, counts for
        another number of parameters.
    References: Engstrom et al., ICML 2019, Sec. 4.2. For `through`.

    >>> rj.attacks.grid(counts=(3, 3, 5)).steps
    45
    """
    for count in counts:
        checks.positive_integer("counts", count)
    total = math.prod(counts)

    def point(key: Key, threat: Threat, z: Array, i: Array) -> Array:
        if z.shape != (len(counts),):
            raise ValueError(
                f"len(counts)={len(counts)}; expected one count for each of the "
                f"parameters {z.shape} of {type(threat).__name__}"
            )
        offset = _on_the_grid(counts, jnp.minimum(i, total - 1))
        return threat.project(z + threat.eps * offset.astype(z.dtype), z)

    return _tried(point, total)


def _on_the_grid(counts: tuple[int, ...], i: Array) -> Array:
    """Point i of the grid in [-1, 1]^n, shape [n]; the last parameter goes first."""
    places = []
    for count in reversed(counts):
        i, digit = jnp.divmod(i, count)
        places.append((2 * digit - (count - 1)) / jnp.maximum(count - 1, 1))
    return jnp.stack(places[::-1])


def _tried(point: Points, count: int) -> Attack:
    """An attack that evaluates `count` points, whatever it sees."""

    def init(
        key: Key, threat: Threat, x: Array, goal: Goal, logits: Array
    ) -> TriedState:
        chex.assert_rank(jax.tree.leaves(goal), 0)  # One example; vmap makes many.
        zero = jnp.zeros((), jnp.int32)
        return TriedState(x, goal, key, incumbent.nothing_yet(x), zero, zero, zero)

    def step(logits_fn: LogitsFn, threat: Threat, state: TriedState) -> TriedState:
        here = point(state.key, threat, state.x, state.i)
        score = verdict(logits_fn(here), state.goal)
        tried = Incumbent(here, score, threat.distance(here, state.x))
        return state._replace(
            best=incumbent.strongest(state.best, tried),
            i=state.i + 1,
            forwards=state.forwards + 1,
        )

    return until_won(init, step, count)
