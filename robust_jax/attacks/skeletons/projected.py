"""One gradient a step, projected: a start, an objective and a step rule make an attack.

`ascent.pgd` has the choices of the three that papers made.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from robust_jax import optim
from robust_jax.attacks.gradients.estimator import Climb, Gradient, Query, exact
from robust_jax.attacks.skeletons.common import judging, nothing_seen, until_won
from robust_jax.core import checks, incumbent
from robust_jax.core.factories import factory
from robust_jax.core.margin import verdict
from robust_jax.core.narrow import signs
from robust_jax.core.streams import OfItem
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

Start = Callable[[Key, Threat, Array], Array]


class ProjectedState(NamedTuple):
    """State of one example; `iterate` is what the next call evaluates."""

    x: Array  # [*S]
    goal: Goal
    key: Key  # of the draws of a randomised gradient
    iterate: Array  # [*S], feasible
    rule: Any  # the optax state of the step rule
    memory: Any  # of the gradient's estimator
    clean_logits: Array | None  # [K] if the objective asks for them
    best: Incumbent
    i: Array  # [] int32
    forwards: Array  # [] int32
    backwards: Array  # [] int32


@factory()
def projected_ascent(
    objective: objectives.Objective,
    rule: optim.Rule,
    start: Start,
    *,
    steps: int,
    gradient: Gradient | None = None,
) -> Attack:
    """Climbs an objective inside the threat set by projected steps of a rule.

    Call i evaluates iterate i and moves on, so that `steps` moves need `steps + 1`
    calls; the last one judges the last iterate.
    Guarantees: every iterate is feasible; an adversarial iterate is never lost; at
    least as strong as the clean input; deterministic in key; dtype kept.
    Edge cases: eps = 0 stays at x; a zero gradient moves nothing (momentum goes on);
    gradient entries that are not finite count as zero; non-finite logits at an
    iterate count as success.

    Args:
        objective: (logits [K], goal) -> [], the quantity to climb.
        rule: threat -> optax.GradientTransformation, see `optim.rules`.
        start: (key, threat, x) -> the first iterate, shape [*S], feasible.
        steps: moves, >= 1.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: if steps is not an integer >= 1.

    >>> from robust_jax.attacks.skeletons.projected import at_random
    >>> climbed, rule = rj.losses.objectives.margin, rj.optim.steepest(0.1)
    >>> rj.attacks.projected_ascent(climbed, rule, at_random, steps=20)
    projected_ascent(objective=margin, rule=steepest(relative_step=0.1),
    start=at_random, steps=20)
    """

    def climb_of(state: ProjectedState) -> Climb:
        return lambda logits: objective(logits, state.goal)

    return ascent(climb_of, rule, start, steps=steps, gradient=gradient)


@factory()
def ascent(
    climb_of: Callable[[ProjectedState], Climb],
    rule: optim.Rule,
    start: Start,
    *,
    steps: int,
    gradient: Gradient | None = None,
    with_clean_logits: bool = False,
) -> Attack:
    """As `projected_ascent`, for an objective that changes on the way.

    Args:
        climb_of: state -> (logits [K] -> []), what to climb at iterate `state.i`.
        rule, start, steps, gradient: as in `projected_ascent`.
        with_clean_logits: `climb_of` reads `state.clean_logits`, shape [K].
    Raises: ValueError: if steps is not an integer >= 1.
    """
    checks.positive_integer("steps", steps)
    estimator = exact() if gradient is None else gradient

    def init(
        key: Key, threat: Threat, x: Array, goal: Goal, logits: Array
    ) -> ProjectedState:
        chex.assert_rank(jax.tree.leaves(goal), 0)  # One example; vmap makes many.
        return ProjectedState(
            x=x,
            goal=goal,
            key=jax.random.fold_in(key, OfItem.NOISE),
            iterate=start(key, threat, x),
            rule=rule(threat).init(x),
            memory=estimator.init(x),
            clean_logits=logits if with_clean_logits else None,
            **nothing_seen(x),
        )

    def step(
        logits_fn: LogitsFn, threat: Threat, state: ProjectedState
    ) -> ProjectedState:
        key, x = jax.random.fold_in(state.key, state.i), state.iterate
        climb = climb_of(state)
        query = Query(key, logits_fn, threat, climb, x)
        estimate, memory = estimator.estimate(query, state.memory)
        score = verdict(estimate.logits, state.goal)
        here = Incumbent(x, score, threat.distance(x, state.x))
        descent = jax.tree.map(jnp.negative, estimate.grad)  # Optax descends.
        update, rule_state = rule(threat).update(descent, state.rule, x)
        ahead = jax.tree.map(jnp.add, x, update)
        return state._replace(
            iterate=threat.project(ahead, state.x),
            rule=rule_state,
            memory=memory,
            best=incumbent.strongest(state.best, here),
            i=state.i + 1,
            forwards=state.forwards + estimator.forwards,
            backwards=state.backwards + estimator.backwards,
        )

    return until_won(init, step, steps + 1, judging(estimator))


def at_the_input(key: Key, threat: Threat, x: Array) -> Array:
    """Starts from the clean input."""
    return x


def at_random(key: Key, threat: Threat, x: Array) -> Array:
    """Starts from a random point of the threat set (`threat.sample`)."""
    return threat.sample(key, x)


@factory()
def at_random_signs(relative_start: float) -> Start:
    """Starts from x + relative_start * eps * sign(gaussian), projected.

    Raises: ValueError: if relative_start is not a finite number > 0.
    """
    checks.positive_number("relative_start", relative_start)

    def start(key: Key, threat: Threat, x: Array) -> Array:
        towards = signs(key, x.shape, x.dtype)
        return threat.project(x + relative_start * threat.eps * towards, x)

    return start
