"""The step size of APGD and ACG: halved at checkpoints where progress has stopped."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.attacks.skeletons.radius_schedule import Call
from robust_jax.core.types import Array

_FIRST_STEP = 2.0  # Croce & Hein (2020), Sec. 3.1: eta_0 = 2 eps.
_RHO = 0.75  # Sec. 3.1, condition 1: a share of the steps that must rise.
_FIRST_WINDOW, _SHRINK, _LAST_WINDOW = 22, 3, 6  # Sec. 3.1, percent of the steps


class StepControl(NamedTuple):
    """The step size, and how the objective went since the last checkpoint."""

    relative_step: Array  # [] times eps
    last: Array  # [] the objective at the previous iterate
    rises: Array  # [] int32, steps since the checkpoint that climbed
    highest: Array  # [] the highest value, as of the checkpoint
    halved: Array  # [] bool, at the checkpoint


class Checkpoint(NamedTuple):
    """Where the next review of the step size is due."""

    window: Array  # [] int32, the length of the window that ends there
    due: Array  # [] int32, a place in the stage


def advanced(checkpoint: Checkpoint, now: Call) -> tuple[Checkpoint, Array]:
    """The checkpoint after one more evaluation, and the window that it ends, else 0.

    In a stage of 100 moves windows of 22, 19, 16, ... end at the iterates 22, 41, 57,
    70, 80, 87, 93, 99.

    Args:
        checkpoint: anything, if a stage starts now.
        now: the call.
    References: Croce & Hein (2020), Sec. 3.1; rounding as in the authors' code.
    """
    first, shrink, least = (
        jnp.maximum(percent * now.length // 100, 1)
        for percent in (_FIRST_WINDOW, _SHRINK, _LAST_WINDOW)
    )
    window = jnp.where(now.starts, first, checkpoint.window)
    due = jnp.where(now.starts, first, checkpoint.due)
    ends = now.place == due
    shorter = jnp.where(ends, jnp.maximum(window - shrink, least), window)
    after = jnp.where(ends, due + shorter, due)
    return Checkpoint(shorter, after), jnp.where(ends, window, 0)


def review(
    control: StepControl, value: Array, highest: Array, is_first: Array, window: Array
) -> tuple[StepControl, Array]:
    """The control after one more evaluation, and whether it was halved just now.

    At the end of a window the step is halved if at most 3/4 of its steps climbed, or
    if the last checkpoint left the step alone and no higher value was found since.

    Args:
        control: before the evaluation.
        value: [] the objective at the iterate just evaluated.
        highest: [] the highest value so far, this one included.
        is_first: [] whether this is the start, which ends no step.
        window: [] the length of the window that ends here, 0 if none does.
    Returns: the new control; [] bool.
    """
    rises = control.rises + (~is_first & (value > control.last))
    ends = window > 0
    few = rises <= _RHO * window
    stuck = ~control.halved & (control.highest >= highest)
    halve = ends & (few | stuck)
    reviewed = StepControl(
        relative_step=jnp.where(
            halve, control.relative_step / 2, control.relative_step
        ),
        last=value,
        rises=jnp.where(ends, 0, rises),
        highest=jnp.where(ends | is_first, highest, control.highest),
        halved=jnp.where(ends, halve, control.halved),
    )
    return reviewed, halve


def first_control(x: Array) -> StepControl:
    """That of a stage of which nothing was seen."""
    wide = jnp.promote_types(jax.tree.leaves(x)[0].dtype, jnp.float32)
    lowest = jnp.full((), -jnp.inf, wide)
    return StepControl(
        relative_step=jnp.full_like(lowest, _FIRST_STEP),
        last=lowest,
        rises=jnp.zeros((), jnp.int32),
        highest=lowest,
        halved=jnp.ones((), bool),  # So that the first checkpoint asks for rises only.
    )
