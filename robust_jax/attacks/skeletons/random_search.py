"""Random search by scores: propose a change, keep it if the objective rises.

An attack says where it starts and what it proposes; the rest is here. (The Square
Attack, whose proposals stand side by side, has a search of its own.)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from robust_jax.attacks.skeletons.common import chosen, nothing_seen, until_won
from robust_jax.core import checks, incumbent
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
from robust_jax.losses import objectives


class SearchState(NamedTuple):
    """State of one example; `iterate` is what the next call evaluates."""

    x: Array  # [*S]
    goal: Goal
    key: Key  # query i is drawn with fold_in(key, i); query 0 is the start
    iterate: Array  # [*S], feasible
    trial: Any  # what the attack says of the iterate
    accepted: Array  # [*S], the point that proposals change
    own: Any  # what the attack says of that
    value: Array  # [] its objective
    best: Incumbent
    i: Array  # [] int32
    forwards: Array  # [] int32
    backwards: Array  # [] int32, 0


Start = Callable[[Key, Any, Array], tuple[Array, Any]]  # -> point, own
Propose = Callable[[Key, Any, SearchState], tuple[Array, Any]]  # -> point, trial
Learn = Callable[[Any, Any, Array], Any]  # (own, trial, accepted?) -> own


def random_search(
    objective: objectives.Objective,
    start: Start,
    propose: Propose,
    *,
    queries: int,
    learn: Learn | None = None,
) -> Attack:
    """A search that accepts what raises the objective, or is the first success.

    Guarantees: every point asked about is feasible, for proposals are projected onto
        the threat; an adversarial one is never lost; at least as strong as the clean
        input; deterministic in key; dtype kept.
    Edge cases: a flat objective accepts nothing but the start.

    Args:
        objective: (logits [K], goal) -> [], the quantity to climb.
        start: (key, threat, x) -> the first point and what the attack says of it.
        propose: (key, threat, state) -> the next point and what the attack says of it;
            `state.i` counts the queries before.
        queries: evaluations besides that of the clean input, >= 1.
        learn: what stays of `own` and `trial`; by default that of the accepted point.
    Raises: ValueError: queries is not an integer >= 1.
    """
    checks.positive_integer("queries", queries)
    learnt = _of_the_accepted if learn is None else learn

    def init(
        key: Key, threat: Threat, x: Array, goal: Goal, logits: Array
    ) -> SearchState:
        chex.assert_rank(jax.tree.leaves(goal), 0)  # One example; vmap makes many.
        point, own = start(jax.random.fold_in(key, 0), threat, x)
        point = threat.project(point, x)
        return SearchState(
            x=x,
            goal=goal,
            key=key,
            iterate=point,
            trial=own,
            accepted=point,
            own=own,
            value=jnp.full((), -jnp.inf, jnp.promote_types(x.dtype, jnp.float32)),
            **nothing_seen(x),
        )

    def step(logits_fn: LogitsFn, threat: Threat, state: SearchState) -> SearchState:
        logits = logits_fn(state.iterate)
        score = verdict(logits, state.goal)
        here = Incumbent(state.iterate, score, threat.distance(state.iterate, state.x))
        value = objective(logits, state.goal).astype(state.value.dtype)
        won = (score >= 0) & (state.best.margin < 0)
        accept = (value > state.value) | won | (state.i == 0)
        state = state._replace(
            accepted=jnp.where(accept, state.iterate, state.accepted),
            own=learnt(state.own, state.trial, accept),
            value=jnp.where(accept, value, state.value),
            best=incumbent.strongest(state.best, here),
            i=state.i + 1,
            forwards=state.forwards + 1,
        )
        key = jax.random.fold_in(state.key, state.i)
        point, trial = propose(key, threat, state)
        point = threat.project(point.astype(state.x.dtype), state.x)
        return state._replace(iterate=point, trial=trial)

    return until_won(init, step, queries)


def _of_the_accepted(own: Any, trial: Any, accepted: Array) -> Any:
    return chosen(accepted, trial, own)
