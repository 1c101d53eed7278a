"""The Square Attack's search: its state, and what an evaluation makes of it."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.core import incumbent
from robust_jax.core.margin import verdict
from robust_jax.core.narrow import counted, counted_up
from robust_jax.core.types import Array, Goal, Incumbent, Key, Threat
from robust_jax.losses import objectives

MEMORY = 256  # Late in a search hundreds of proposals in a row are refused.


class SquareState(NamedTuple):
    """State of one example; `ahead` is what the next call evaluates."""

    x: Array  # [*S]
    goal: Goal
    key: Key  # query i is drawn with fold_in(key, i); query 0 is the start
    ahead: Array  # [proposals, *S], feasible
    numbers: Array  # [proposals] int32, their queries, rising; > queries: ignored
    codes: Array  # [proposals] int32, equal for equal changes; -1: never equal
    accepted: Array  # [*S], the point that proposals change
    value: Array  # [] its objective
    refused: Array  # [MEMORY] int32, codes of proposals to `accepted`, or -1
    refusals: Array  # [] int32, how many there were
    best: Incumbent
    i: Array  # [] int32, the first of `numbers`, at most queries + 1
    forwards: Array  # [] int32
    backwards: Array  # [] int32, 0


class Plan(NamedTuple):
    """What a search follows, see `square`."""

    queries: int
    halvings: tuple[int, ...]  # see `square_patterns.halvings`
    shares: list[float]
    proposals: int


def searched(
    plan: Plan,
    objective: objectives.Objective,
    threat: Threat,
    state: SquareState,
    logits: Array,
) -> SquareState:
    """The state after what was evaluated, in order, up to the first one accepted.

    Args:
        logits: at `state.ahead`, shape [proposals, K].
    Returns: with `i` the last query gone through; `ahead` and `numbers` are old.
    """

    def judged(point: Array, logits: Array) -> tuple[Incumbent, Array]:
        score = verdict(logits, state.goal)
        value = objective(logits, state.goal).astype(state.value.dtype)
        return Incumbent(point, score, threat.distance(point, state.x)), value

    found, values = jax.vmap(judged)(state.ahead, logits)
    # Later successes must rise too: else a run to the end would stray from them.
    first_success = (found.margin >= 0) & (state.best.margin < 0)
    inside = state.numbers <= plan.queries
    accept = inside & ((values > state.value) | first_success)
    seen = inside & (counted_up(accept) - accept == 0)
    accept, moved = accept & seen, jnp.any(accept)
    margins = jnp.where(seen, found.margin, -jnp.inf)
    top = jnp.arange(plan.proposals) == jnp.argmax(margins)
    here = jax.tree.map(functools.partial(_row, top), found._replace(margin=margins))
    return _remembered(state, moved, seen & (state.codes >= 0))._replace(
        accepted=jnp.where(moved, _row(accept, state.ahead), state.accepted),
        value=jnp.where(moved, _row(accept, values), state.value),
        best=incumbent.strongest(state.best, here),
        i=jnp.max(jnp.where(seen, state.numbers, state.i)),
    )


def _remembered(state: SquareState, moved: Array, refused: Array) -> SquareState:
    """With the memory of refusals: emptied by a move, else with those just made."""
    place = counted_up(refused) - refused + state.refusals
    is_at = jnp.arange(MEMORY)[:, None] == (place % MEMORY)[None]
    new = jnp.max(jnp.where(is_at & refused[None], state.codes[None], -1), axis=1)
    memory = jnp.where(new >= 0, new, state.refused)
    return state._replace(
        refused=jnp.where(moved, -1, memory),
        refusals=jnp.where(moved, 0, state.refusals + counted(refused)),
    )


def _row(mask: Array, rows: Array) -> Array:
    """The row that the mask marks; anything if it marks none. A gather is slower."""
    mask = mask.reshape(mask.shape + (1,) * (rows.ndim - 1))
    return jnp.max(jnp.where(mask, rows, -jnp.inf), axis=0)
