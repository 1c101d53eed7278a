"""Random points of the threat set, as an attack: what gradients must beat."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from robust_jax.attacks.skeleton import until_won
from robust_jax.core import checks, incumbent
from robust_jax.core.margin import verdict
from robust_jax.core.memo import memoised
from robust_jax.core.types import (
    Array,
    Attack,
    Goal,
    Incumbent,
    Key,
    LogitsFn,
    Threat,
)


class NoiseState(NamedTuple):
    """State of one example."""

    x: Array  # [*S]
    goal: Goal
    key: Key
    best: Incumbent
    i: Array  # [] int32
    forwards: Array  # [] int32
    backwards: Array  # [] int32, 0


@memoised
def random_points(points: int = 100) -> Attack:
    """The strongest of so many independent draws of `threat.sample`.

    Guarantees: every point is feasible; at least as strong as the clean input;
    deterministic in key; dtype kept.

    Args:
        points: draws, >= 1.
    Raises: ValueError: if points is not an integer >= 1.
    References: Carlini et al., "On Evaluating Adversarial Robustness", 2019, Sec. 3:
        random noise must be weaker than an attack.
    """
    checks.positive_integer("points", points)

    def init(key: Key, threat: Threat, x: Array, goal: Goal) -> NoiseState:
        chex.assert_rank(list(goal), 0)  # One example; vmap makes many.
        zero = jnp.zeros((), jnp.int32)
        return NoiseState(x, goal, key, incumbent.nothing_yet(x), zero, zero, zero)

    def step(logits_fn: LogitsFn, threat: Threat, state: NoiseState) -> NoiseState:
        point = threat.sample(jax.random.fold_in(state.key, state.i), state.x)
        score = verdict(logits_fn(point), state.goal)
        here = Incumbent(point, score, threat.distance(point, state.x))
        return state._replace(
            best=incumbent.strongest(state.best, here),
            i=state.i + 1,
            forwards=state.forwards + 1,
        )

    return until_won(init, step, points)
