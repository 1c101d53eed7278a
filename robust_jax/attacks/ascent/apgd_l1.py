"""L1-APGD: sparse projected ascent whose sparsity and step size adapt to the progress.

Croce & Hein, "Mind the box: l1-APGD for sparse adversarial attacks on image
classifiers", ICML 2021. In L1 the number of coordinates that a step moves matters more
than its length, so that is what adapts; the radius may shrink to eps on the way.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from robust_jax import optim
from robust_jax.attacks.gradients.estimator import Gradient, Query, exact
from robust_jax.attacks.skeletons.common import chosen, judging, nothing_seen, until_won
from robust_jax.attacks.skeletons.projected import Start
from robust_jax.attacks.skeletons.radius_schedule import (
    Call,
    Radii,
    call,
    check,
    judged,
    scaled,
)
from robust_jax.core import incumbent
from robust_jax.core.facts import Setting, attack
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
from robust_jax.threats import L1

# All from the authors' code, in which a step of relative size 1 has L1 length eps.
_SHRINK, _LEAST_STEP = 1.5, 0.1
_FIRST_PART = 5  # One in five coordinates moves before the first checkpoint.
_WINDOWS = 25  # Checkpoints in a stage, as far as its length allows.


class HighestPoint(NamedTuple):
    """The highest point of a stage, with what is needed to go on from it."""

    x: Array  # [*S]
    value: Array  # [] the objective there
    grad: Array  # [*S] the gradient there


class StepControl(NamedTuple):
    """How far the next step goes and how many coordinates it moves."""

    relative_step: Array  # [] times the stage's radius, in [1 / 10, 1]
    moving: Array  # [] int32 coordinates of the next step
    changed: Array  # [] int32 coordinates changed at the highest point, as measured


class ApgdL1State(NamedTuple):
    """State of one example; `iterate` is what the next call evaluates."""

    x: Array  # [*S]
    goal: Goal
    key: Key  # of the draws of a randomised gradient
    iterate: Array  # [*S], feasible for the radius of its stage
    memory: Any  # of the gradient's estimator
    highest: HighestPoint
    control: StepControl
    best: Incumbent
    i: Array  # [] int32
    forwards: Array  # [] int32
    backwards: Array  # [] int32


class Duty(NamedTuple):
    """What one call of `step` has to do."""

    call: Call
    checkpoint: Array  # [] bool
    measures: Array  # [] bool: the sparsity of the highest point


def duty(steps: Any, radii: Radii, i: Array) -> Duty:
    """That of call i, [], of `steps` moves and one start for each radius."""
    now = call(steps, radii, i)
    window = jnp.maximum(now.length // _WINDOWS, 1)
    checkpoint = ~now.starts & (now.place % window == 0)
    # A single stage starts from what says nothing about its sparsity yet.
    measures = checkpoint | now.starts if len(radii) > 1 else checkpoint
    return Duty(now, checkpoint, measures)


def at_gaussian(key: Key, threat: Threat, x: Array) -> Array:
    """Starts from x plus standard Gaussian noise, projected.

    The noise is long against the usual ball, so that the projection leaves few
    coordinates changed, and those by large amounts.
    """
    noise = optax.tree.random_like(key, x, jax.random.normal)
    return threat.project(jax.tree.map(jnp.add, x, noise), x)


@attack(
    paper="Croce & Hein, ICML 2021 (APGD for L1)",
    norms=("l1",),
    settings={
        "apgd_l1": Setting(),
        "apgd_l1_t": Setting({"objective": objectives.dlr}, targets=5, least_classes=4),
    },
)
def apgd_l1(
    objective: objectives.Objective = objectives.cross_entropy,
    steps: int = 100,
    radii: Radii = (3.0, 2.0, 1.0),
    start: Start = at_gaussian,
    gradient: Gradient | None = None,
) -> Attack:
    """Auto-PGD for L1 balls in a box: no step size and no sparsity to choose.

    A step adds equal amounts to the coordinates with the largest gradients and
    projects onto ball and box together. First a fifth of the coordinates moves, after
    a checkpoint two thirds of those that the highest point so far has changed. The
    step is eps; a checkpoint divides it by 1.5, down to eps / 10, unless the number
    of changed coordinates fell by more than 5 percent: then it is eps again and the
    ascent goes on from the highest point. With several radii that runs at one radius
    after the other, each stage from the projected highest point of the one before.
    Guarantees: the result is feasible for eps; an adversarial iterate inside eps is
    never lost; at least as strong as the clean input; deterministic in key; dtype
    kept.
    Edge cases: eps = 0 stays at x; a zero gradient moves nothing; gradient entries
    that are not finite count as zero; an objective that is NaN is no rise. Where only
    two coordinates have changed, both go on moving, and steepest coordinates that are
    at the box's faces keep their part of the step: where the box is active it may stop
    well short of the optimum, more so with a single radius.

    Args:
        objective: the quantity to climb; DLR needs 3 classes, targeted DLR 4.
        steps: moves, >= len(radii); a start for each radius is evaluated besides.
        radii: multiples of eps, the last one 1; (1.0,) for eps alone.
        start: (key, threat, x) -> the first iterate, feasible for the threat that it
            is given, that of the first radius; `at_gaussian` by default.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside those ranges; when the attack is traced
        with a threat other than L1.
    References: Croce & Hein (2021), constants of the authors' code. Differs from that
        code in: a coordinate that the projection puts back to x counts as unchanged
        (theirs is often off by one rounding and counts, so that more coordinates
        move); exactly the intended number of coordinates moves (theirs: ties too);
        shares of steps are rounded down (up); adversarial iterates inside eps count
        in every stage (in the last one), and the one with the largest margin is
        returned (the last one).

    >>> rj.attacks.apgd_l1(steps=100, radii=(1.0,)).steps
    101
    >>> rj.attacks.by_name("apgd_l1").norms
    ('l1',)
    """
    check(steps, radii)
    estimator = exact() if gradient is None else gradient

    def init(
        key: Key, threat: Threat, x: Array, goal: Goal, logits: Array
    ) -> ApgdL1State:
        iterate = start(key, _at_radius(threat, radii[0]), x)
        return _first_state(key, x, goal, iterate, estimator.init(x))

    def step(logits_fn: LogitsFn, threat: Threat, state: ApgdL1State) -> ApgdL1State:
        due = duty(steps, radii, state.i)
        now = due.call
        key, x = jax.random.fold_in(state.key, state.i), state.iterate
        climb = lambda logits: objective(logits, state.goal)  # noqa: E731
        query = Query(key, logits_fn, threat, climb, x)
        estimate, memory = estimator.estimate(query, state.memory)
        value = jnp.where(jnp.isnan(estimate.value), -jnp.inf, estimate.value)
        here = HighestPoint(x, value.astype(jnp.float32), estimate.grad)
        higher = now.starts | (here.value > state.highest.value)
        highest = chosen(higher, here, state.highest)
        control, sparser = _review(state.control, due, _changed(highest.x, state.x))
        base = chosen(sparser, highest, here)
        return state._replace(
            iterate=_moved(threat, now, state.x, base, highest, control),
            memory=memory,
            highest=highest,
            control=control,
            best=incumbent.strongest(
                state.best, judged(threat, now.radius, state, estimate.logits)
            ),
            i=state.i + 1,
            forwards=state.forwards + estimator.forwards,
            backwards=state.backwards + estimator.backwards,
        )

    return until_won(init, step, steps + len(radii), judging(estimator))


def _at_radius(threat: Threat, radius: float | Array) -> L1:
    """The threat with another radius, in multiples of its own."""
    if not isinstance(threat, L1):
        name = type(threat).__name__
        raise ValueError(f"threat={name}; expected threats.L1; use apgd for {name}")
    return scaled(threat, radius)


def _first_state(
    key: Key, x: Array, goal: Goal, iterate: Array, memory: Any
) -> ApgdL1State:
    chex.assert_rank(jax.tree.leaves(goal), 0)  # One example; vmap makes many.
    size = sum(leaf.size for leaf in jax.tree.leaves(x))
    lowest = jnp.full((), -jnp.inf, jnp.float32)
    return ApgdL1State(
        x=x,
        goal=goal,
        key=jax.random.fold_in(key, OfItem.NOISE),
        iterate=iterate,
        memory=memory,
        highest=HighestPoint(iterate, lowest, jax.tree.map(jnp.zeros_like, x)),
        control=StepControl(
            relative_step=jnp.ones((), jnp.float32),
            moving=jnp.full((), -(-size // _FIRST_PART), jnp.int32),
            changed=jnp.full((), size, jnp.int32),
        ),
        **nothing_seen(x),
    )


def _changed(x: Array, x0: Array) -> Array:
    """The number of coordinates in which two points differ, [] int32."""
    differ = jax.tree.map(lambda a, b: jnp.sum(a != b), x, x0)
    return optax.tree.sum(differ).astype(jnp.int32)


def _review(
    control: StepControl, due: Duty, changed: Array
) -> tuple[StepControl, Array]:
    """The control after one more evaluation; did the highest point become sparser?"""
    # By over 5 percent.
    sparser = due.checkpoint & (20 * changed < 19 * control.changed)
    shorter = jnp.maximum(control.relative_step / _SHRINK, _LEAST_STEP)
    kept = jnp.where(due.checkpoint, shorter, control.relative_step)
    reviewed = StepControl(
        relative_step=jnp.where(due.call.starts | sparser, 1.0, kept),
        # The ceil of two thirds, in integers.
        moving=jnp.where(
            due.measures, jnp.maximum((2 * changed + 2) // 3, 1), control.moving
        ),
        changed=jnp.where(due.measures, changed, control.changed),
    )
    return reviewed, sparser


def _moved(
    threat: Threat,
    now: Call,
    x0: Array,
    base: HighestPoint,
    highest: HighestPoint,
    control: StepControl,
) -> Array:
    """A projected sparse step; after a stage the highest point, at the next radius."""
    length = control.relative_step * _at_radius(threat, now.radius).eps
    move = optim.scaled(length, optim.sparse_unit(base.grad, control.moving))
    ahead = jax.tree.map(jnp.add, base.x, move)
    ahead = chosen(now.ends, highest.x, ahead)
    return _at_radius(threat, now.next_radius).project(ahead, x0)
