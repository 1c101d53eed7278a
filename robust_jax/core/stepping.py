"""An attack on one example, step by step or whole: pure functions for `jit` and `vmap`.

`drive` loops them over a batch.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from robust_jax.core import checks, faces, facts, incumbent, layout
from robust_jax.core.types import (
    Array,
    Attack,
    AttackResult,
    Goal,
    Key,
    LogitsFn,
    Threat,
)

RunOne = Callable[[Key, LogitsFn, Threat, Array, Goal], AttackResult]


def begin(
    attack: Attack, key: Key, logits_fn: LogitsFn, threat: Threat, x: Array, goal: Goal
) -> Any:
    """The first state of one example, with the clean point as its incumbent."""
    facts.check_use(attack, threat)
    logits = logits_fn(x)
    state = attack.init(key, threat, x, goal, logits)
    clean = incumbent.clean_point(threat, x, logits, goal)
    return state._replace(best=clean, forwards=state.forwards + 1)


def advance(
    attack: Attack,
    logits_fn: LogitsFn,
    threat: Threat,
    state: Any,
    *,
    to_the_end: bool | Array = False,
) -> Any:
    """One step of one example; a finished example stays as it is.

    Freezing after every step, rather than after a chunk, is what keeps results
    independent of how the steps are cut into chunks. With `to_the_end` only a used
    budget finishes an example: a success does not.
    """
    moved = _stepped(attack, logits_fn, threat, state)
    over = is_over(attack, threat, state, to_the_end)
    return jax.tree.map(lambda old, new: jnp.where(over, old, new), state, moved)


def _stepped(attack: Attack, logits_fn: LogitsFn, threat: Threat, state: Any) -> Any:
    """A step that keeps the types of the state, as of a net whose logits are wider."""
    return jax.tree.map(
        lambda old, new: new if new.dtype == old.dtype else new.astype(old.dtype),
        state,
        faces.stepping(attack.step)(logits_fn, threat, state),
    )


def is_over(
    attack: Attack, threat: Threat, state: Any, to_the_end: bool | Array = False
) -> Array:
    """Whether an example is finished, [] bool; see `advance`."""
    spent = state.i >= attack.steps
    return jnp.where(to_the_end, spent, attack.done(threat, state))


def run(attack: Attack, *, to_the_end: bool = False) -> RunOne:
    """Gives the attack as one function of one example, looped inside the trace.

    Args:
        attack: any attack of the library, or your own.
        to_the_end: go on after the first success, to the largest margin.
    Returns: `(key, logits_fn, threat, x, goal) -> AttackResult`, pure; lift it with
        `core.lift.over_examples`.
    """

    def run_one(key, logits_fn, threat, x, goal):
        state = begin(attack, key, logits_fn, threat, x, goal)
        state = jax.lax.fori_loop(
            0,
            attack.steps,
            lambda _, s: advance(attack, logits_fn, threat, s, to_the_end=to_the_end),
            state,
        )
        return faces.finishing(attack.finish)(threat, state)

    return layout.turning(run_one, lead=0)


def run_unrolled(attack: Attack, *, to_the_end: bool = False) -> RunOne:
    """As `run`, with the steps written out: for a few steps, or foreign nets on CPU."""

    def run_one(key, logits_fn, threat, x, goal):
        state = begin(attack, key, logits_fn, threat, x, goal)
        for _ in range(attack.steps):
            state = advance(attack, logits_fn, threat, state, to_the_end=to_the_end)
        return faces.finishing(attack.finish)(threat, state)

    return layout.turning(run_one, lead=0)


def last_iterate(attack: Attack) -> Callable[..., Array]:
    """The point that an attack reaches after its last move, unjudged.

    What adversarial training feeds to the net: it saves the last evaluation, does not
    stop at a success and keeps nothing. For attacks whose state has an `iterate`.

    Returns: `(key, logits_fn, threat, x, goal) -> x_adv [*S]`, pure, of one example.
    """

    def run_one(key, logits_fn, threat, x, goal):
        facts.check_use(attack, threat)
        state = attack.init(key, threat, x, goal, logits_fn(x))
        if not hasattr(state, "iterate"):
            raise ValueError(
                f"attack={checks.shown(attack)}; expected one whose state has an "
                "iterate, such as attacks.pgd(10)"
            )
        state = jax.lax.fori_loop(
            0,
            attack.steps - 1,
            lambda _, s: _stepped(attack, logits_fn, threat, s),
            state,
        )
        return faces.snapped(getattr(threat, "lattice", None), state.iterate, x)

    return layout.turning(run_one, lead=0)
