"""Rounds of a search whose loss is distance + const * hinge: which const is next.

Carlini and Wagner's binary search, as a state machine: one call of `advance` per
iteration, of one example.
"""

from typing import NamedTuple

import jax.numpy as jnp

from robust_jax.core import checks
from robust_jax.core.types import Array

_LARGEST = 1e10  # The authors' stand-in for "no bound yet".
_PROGRESS = 0.9999  # The authors' code: a tenth of a round must gain so much.
_REPEATS = 10  # From so many rounds on, the last one repeats the best const.


class Schedule(NamedTuple):
    """What a search follows."""

    rounds: int
    iterations: int  # of one round
    first_const: float
    abort_early: bool


class Search(NamedTuple):
    """Where one example is. All shapes []."""

    const: Array
    low: Array  # consts up to here failed
    high: Array  # the least const that succeeded
    round: Array  # int32
    iteration: Array  # int32, within the round
    won: Array  # whether this round saw a success
    checked: Array  # the loss when progress was last asked for


def checked(
    rounds: int, iterations: int, first_const: float, abort_early: bool
) -> Schedule:
    """The schedule. Raises ValueError for arguments outside their ranges."""
    checks.positive_integer("rounds", rounds)
    checks.positive_integer("iterations", iterations)
    checks.holds("iterations", iterations, lambda v: v >= 2, "an integer >= 2")
    checks.positive_number("first_const", first_const)
    return Schedule(rounds, iterations, first_const, abort_early)


def begin(schedule: Schedule) -> Search:
    """The first round, before its first iteration."""
    zero, infinity = jnp.zeros((), jnp.int32), jnp.full((), jnp.inf, jnp.float32)
    return Search(
        const=jnp.full((), schedule.first_const, jnp.float32),
        low=jnp.zeros((), jnp.float32),
        high=infinity,
        round=zero,
        iteration=zero,
        won=jnp.zeros((), bool),
        checked=infinity,
    )


def advance(
    schedule: Schedule, search: Search, loss: Array, won: Array
) -> tuple[Search, Array]:
    """After an iteration of that loss: the search, and whether a round begins anew.

    A round ends after its iterations, or when a tenth of them brought no progress. A
    const that succeeded is a bound from above, another from below; the next one is
    between them, or ten times as large while none has succeeded.
    """
    won = search.won | won
    tenth = jnp.maximum((schedule.iterations + 9) // 10, 1)
    asked = search.iteration % tenth == 0
    stuck = asked & (loss > _PROGRESS * search.checked) & schedule.abort_early
    ended = stuck | (search.iteration + 1 >= schedule.iterations)
    low = jnp.where(ended & ~won, jnp.maximum(search.low, search.const), search.low)
    high = jnp.where(ended & won, jnp.minimum(search.high, search.const), search.high)
    const = jnp.where(jnp.isinf(high), 10 * search.const, (low + high) / 2)
    is_last = (search.round + 2 == schedule.rounds) & (schedule.rounds >= _REPEATS)
    const = jnp.where(is_last, high, const)
    following = Search(
        const=jnp.where(ended, jnp.minimum(const, _LARGEST), search.const),
        low=low,
        high=high,
        round=search.round + ended,
        iteration=jnp.where(ended, 0, search.iteration + 1),
        won=won & ~ended,
        checked=jnp.where(ended, jnp.inf, jnp.where(asked, loss, search.checked)),
    )
    return following, ended


def is_over(schedule: Schedule, search: Search) -> Array:
    """Whether the last round has ended, shape []."""
    return search.round >= schedule.rounds
