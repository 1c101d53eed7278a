"""Projected ascent that finds its own step size: the skeleton of APGD and ACG.

The step starts at twice the radius and is halved at checkpoints where progress has
stopped; a halving goes back to the highest point so far.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from robust_jax.attacks.gradients.estimator import Climb, Gradient, Query, exact
from robust_jax.attacks.skeletons._step_size import (
    Checkpoint,
    StepControl,
    advanced,
    first_control,
    review,
)
from robust_jax.attacks.skeletons.common import chosen, judging, nothing_seen, until_won
from robust_jax.attacks.skeletons.projected import Start
from robust_jax.attacks.skeletons.radius_schedule import (
    Radii,
    call,
    check,
    judged,
    scaled,
)
from robust_jax.core import incumbent
from robust_jax.core.factories import factory
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

Project = Callable[[Threat, Array, Array], Array]  # (threat, x, x0) -> feasible


class DirectionRule(NamedTuple):
    """How the direction of a step follows from the gradients seen so far."""

    init: Callable[[Array], Any]  # x [*S] -> memory
    update: Callable[[Array, Any], tuple[Array, Any]]
    # (grad [*S], memory) -> (direction [*S], memory)


class HighestPoint(NamedTuple):
    """The highest point so far, with what is needed to go on from it."""

    x: Array  # [*S]
    value: Array  # [] the objective there
    grad: Array  # [*S] the gradient there
    rule: Any  # memory of the rule on arrival


class AutoState(NamedTuple):
    """State of one example; `iterate` is what the next call evaluates."""

    x: Array  # [*S]
    goal: Goal
    key: Key
    iterate: Array  # [*S], feasible
    previous: Array  # [*S], where the last move began
    rule: Any  # memory of the direction's rule
    highest: HighestPoint
    checkpoint: Checkpoint
    control: StepControl
    memory: Any  # of the gradient's estimator
    best: Incumbent
    i: Array  # [] int32
    forwards: Array  # [] int32
    backwards: Array  # [] int32


def exact_projection(threat: Threat, x: Array, x0: Array) -> Array:
    """The nearest point of ball and box together: `threat.project`."""
    return threat.project(x, x0)


@factory()
def auto_ascent(
    objective: objectives.Objective,
    rule: DirectionRule,
    start: Start,
    *,
    steps: int,
    inertia: float,
    project: Project,
    gradient: Gradient | None,
    radii: Radii = (1.0,),
) -> Attack:
    """Climbs an objective by projected steps whose size adapts to the progress.

    Call i evaluates iterate i and moves on; the last of the calls, one for each step
    and one for each radius, judges the last iterate. With several radii that runs at
    one radius after the other, each stage from the projected highest point of the one
    before, with the step at twice its radius again.
    Guarantees: every iterate is feasible, for the radius of its stage; an adversarial
    iterate within eps is never lost; at least as strong as the clean input;
    deterministic in key; dtype kept.
    Edge cases: as `projected.projected_ascent`; an objective that is NaN is no rise.

    Args:
        objective: (logits [K], goal) -> [], the quantity to climb.
        rule: makes directions of gradients.
        start: (key, threat, x) -> the first iterate, shape [*S], feasible.
        steps: moves, >= 1.
        inertia: share of the previous displacement in each move, in [0, 1).
        project: (threat, x, x0) -> a feasible point.
        gradient: the estimator of the gradient; `gradients.exact()` if None.
        radii: multiples of eps, the last one 1.
    Raises: ValueError: if steps is not an integer >= len(radii); radii that do not end
        in 1.
    """
    check(steps, radii)
    estimator, is_staged = exact() if gradient is None else gradient, len(radii) > 1

    def init(
        key: Key, threat: Threat, x: Array, goal: Goal, logits: Array
    ) -> AutoState:
        first = start(key, scaled(threat, radii[0]) if is_staged else threat, x)
        return _first_state(key, x, goal, first, rule.init(x), estimator.init(x))

    def step(logits_fn: LogitsFn, threat: Threat, state: AutoState) -> AutoState:
        key, x = jax.random.fold_in(state.key, state.i), state.iterate
        now = call(steps, radii, state.i)
        query = Query(key, logits_fn, threat, _climbing(objective, state.goal), x)
        (value, logits, grad), memory = estimator.estimate(query, state.memory)
        ball = scaled(threat, now.radius) if is_staged else threat
        here = judged(threat, now.radius, state, logits)
        control, value = state.control, value.astype(state.control.last.dtype)
        arrived = HighestPoint(x, value, grad, state.rule)
        highest = chosen(value > state.highest.value, arrived, state.highest)
        checkpoint, window = advanced(state.checkpoint, now)
        control, halved = review(control, value, highest.value, now.starts, window)
        base = chosen(halved, highest, arrived)
        direction, rule_state = rule.update(base.grad, base.rule)
        kept = jnp.where(now.starts, 0.0, inertia)
        moved = state._replace(
            iterate=_moved(ball, project, state, base.x, direction, control, kept),
            previous=base.x,
            rule=rule_state,
            highest=highest,
            checkpoint=checkpoint,
            control=control,
            memory=memory,
            best=incumbent.strongest(state.best, here),
            i=state.i + 1,
            forwards=state.forwards + estimator.forwards,
            backwards=state.backwards + estimator.backwards,
        )
        if is_staged:
            inner = project(scaled(threat, now.next_radius), highest.x, state.x)
            moved = chosen(now.ends, _restarted(moved, inner, rule), moved)
        return moved

    return until_won(init, step, steps + len(radii), judging(estimator))


def on_the_surface(key: Key, threat: Threat, x: Array) -> Array:
    """Starts at distance eps in a random direction, clipped to the box.

    Linf: a uniform point of the cube, stretched to its surface; else a Gaussian
    direction.
    """
    is_cube = threat.name == "linf"
    leaves, structure = jax.tree.flatten(x)
    keys = [jax.random.fold_in(key, i) for i in range(len(leaves))]

    def draw(key, leaf):
        if is_cube:
            return jax.random.uniform(key, leaf.shape, leaf.dtype, -1.0, 1.0)
        return jax.random.normal(key, leaf.shape, leaf.dtype)

    drawn = [draw(k, leaf) for k, leaf in zip(keys, leaves, strict=True)]
    drawn = jax.tree.unflatten(structure, drawn)
    size = threat.distance(drawn, jax.tree.map(jnp.zeros_like, drawn))
    scale = threat.eps / jnp.where(size == 0, 1, size)
    out = jax.tree.map(lambda a, d: (a + scale * d).astype(a.dtype), x, drawn)
    return threat.project(out, x)


def _climbing(objective: objectives.Objective, goal: Goal) -> Climb:
    return lambda logits: objective(logits, goal)


def _first_state(
    key: Key, x: Array, goal: Goal, first: Array, rule: Any, memory: Any
) -> AutoState:
    chex.assert_rank(jax.tree.leaves(goal), 0)  # One example; vmap makes many.
    control = first_control(x)
    lowest, zero = control.last, control.rises
    return AutoState(
        x=x,
        goal=goal,
        key=jax.random.fold_in(key, OfItem.NOISE),
        iterate=first,
        previous=first,
        rule=rule,
        highest=HighestPoint(first, lowest, jax.tree.map(jnp.zeros_like, x), rule),
        checkpoint=Checkpoint(zero, zero),
        control=control,
        memory=memory,
        **nothing_seen(x),
    )


def _restarted(state: AutoState, iterate: Array, rule: DirectionRule) -> AutoState:
    """The state before the first call of a stage: what was learned is of another."""
    control = first_control(state.x)
    return state._replace(
        iterate=iterate,
        rule=rule.init(state.x),
        highest=state.highest._replace(value=control.highest),
        control=control,
    )


def _moved(threat, project, state, x, direction, control, inertia):
    """The next iterate: a projected step from x, mixed with the last displacement."""
    step = threat.steepest(direction, x)
    ahead = jax.tree.map(lambda a, d: a + control.relative_step * d, x, step)
    z = project(threat, _like(ahead, x), state.x)

    def mix(x, z, previous):
        return x + (1 - inertia) * (z - x) + inertia * (x - previous)

    mixed = jax.tree.map(mix, x, z, state.previous)
    return project(threat, _like(mixed, x), state.x)


def _like(tree: Any, pattern: Any) -> Any:
    return jax.tree.map(lambda a, b: a.astype(b.dtype), tree, pattern)
