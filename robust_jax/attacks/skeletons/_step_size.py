"""The step size of APGD and ACG: halved at checkpoints where progress has stopped."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.attacks.skeletons.radius_schedule import Call
from robust_jax.core.types import Array

_FIRST_STEP = 2.0  # Croce & Hein (2020), Sec. 3.1: eta_0 = 2 eps.
_RHO = 0.75  # Sec. 3.1, condition 1: a share of the steps that must rise.
_FIRST_WINDOW, _SHRINK, _LAST_WINDOW = 22, 3, 6  # Sec. 3.1, percent of the steps


class Pace(NamedTuple):
    """The step size, and how the objective went since the last checkpoint."""

    relative_step: Array  # [] times eps
    last: Array  # [] the objective at the previous iterate
    rises: Array  # [] int32, steps since the checkpoint that climbed
    peak: Array  # [] the highest value, as of the checkpoint
    halved: Array  # [] bool, at the checkpoint


class Clock(NamedTuple):
    """Where the next review of the step size is due."""

    window: Array  # [] int32, the length of the window that ends there
    due: Array  # [] int32, a place in the stage


def tick(clock: Clock, now: Call) -> tuple[Clock, Array]:
    """The clock after one more evaluation, and the window that ends with it, else 0.

    In a stage of 100 moves windows of 22, 19, 16, ... end at the iterates 22, 41, 57,
    70, 80, 87, 93, 99.

    Args:
        clock: anything, if a stage starts now.
        now: the call.
    References: Croce & Hein (2020), Sec. 3.1; rounding as in the authors' code.
    """
    first, shrink, least = (
        jnp.maximum(percent * now.length // 100, 1)
        for percent in (_FIRST_WINDOW, _SHRINK, _LAST_WINDOW)
    )
    window = jnp.where(now.starts, first, clock.window)
    due = jnp.where(now.starts, first, clock.due)
    ends = now.place == due
    shorter = jnp.where(ends, jnp.maximum(window - shrink, least), window)
    after = jnp.where(ends, due + shorter, due)
    return Clock(shorter, after), jnp.where(ends, window, 0)


def review(
    pace: Pace, value: Array, peak: Array, is_first: Array, window: Array
) -> tuple[Pace, Array]:
    """The pace after one more evaluation, and whether it was halved just now.

    At the end of a window the step is halved if at most 3/4 of its steps climbed, or
    if the last checkpoint left the step alone and the peak has not risen since.

    Args:
        pace: before the evaluation.
        value: [] the objective at the iterate just evaluated.
        peak: [] the highest value so far, this one included.
        is_first: [] whether this is the start, which ends no step.
        window: [] the length of the window that ends here, 0 if none does.
    Returns: the new pace; [] bool.
    """
    rises = pace.rises + (~is_first & (value > pace.last))
    ends = window > 0
    few = rises <= _RHO * window
    stuck = ~pace.halved & (pace.peak >= peak)
    halve = ends & (few | stuck)
    reviewed = Pace(
        relative_step=jnp.where(halve, pace.relative_step / 2, pace.relative_step),
        last=value,
        rises=jnp.where(ends, 0, rises),
        peak=jnp.where(ends | is_first, peak, pace.peak),
        halved=jnp.where(ends, halve, pace.halved),
    )
    return reviewed, halve


def first_pace(x: Array) -> Pace:
    """That of a stage of which nothing was seen."""
    wide = jnp.promote_types(jax.tree.leaves(x)[0].dtype, jnp.float32)
    lowest = jnp.full((), -jnp.inf, wide)
    return Pace(
        relative_step=jnp.full_like(lowest, _FIRST_STEP),
        last=lowest,
        rises=jnp.zeros((), jnp.int32),
        peak=lowest,
        halved=jnp.ones((), bool),  # So that the first checkpoint asks for rises only.
    )
