"""What nearly all attacks share: how they end, and how they choose."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from robust_jax.attacks.gradients.estimator import Gradient, exact
from robust_jax.core import incumbent
from robust_jax.core.margin import verdict
from robust_jax.core.types import (
    Array,
    Attack,
    AttackResult,
    Incumbent,
    Init,
    LogitsFn,
    State,
    Step,
    Threat,
)

S = TypeVar("S", bound=State)


def nothing_seen(x: Array) -> dict[str, Any]:
    """The fields that every state begins with: no point, no calls, no cost."""
    zero = jnp.zeros((), jnp.int32)
    counts = dict.fromkeys(("i", "forwards", "backwards"), zero)
    return {"best": incumbent.nothing_yet(x), **counts}


def until_won(
    init: Init[S],
    step: Step[S],
    calls: int,
    judge: Step[S] | None = None,
) -> Attack[S]:
    """An attack that gives its incumbent, and is done when that is adversarial.

    Args:
        init: gives a state with the fields of `core.types.State`.
        step, judge: see `core.types.Attack`.
        calls: of `step` in the whole budget, >= 1.
    """

    def finish(threat: Threat, state: State) -> AttackResult:
        return AttackResult(*state.best, state.forwards, state.backwards)

    def done(threat: Threat, state: State) -> Array:
        return (state.best.margin >= 0) | (state.i >= calls)

    return Attack(init, step, finish, done, calls, judge)


def judging(estimator: Gradient) -> Step[Any] | None:
    """How to judge the last iterate by one forward, without a gradient.

    None for an estimator that judges otherwise than by the model's logits at the
    iterate, as EOT does.
    """
    return _judge_iterate if estimator == exact() else None


def _judge_iterate(logits_fn: LogitsFn, threat: Threat, state: Any) -> Any:
    score = verdict(logits_fn(state.iterate), state.goal)
    distance = threat.distance(state.iterate, state.x)
    here = Incumbent(state.iterate, score, distance)
    best = incumbent.strongest(state.best, here)
    return state._replace(best=best, i=state.i + 1, forwards=state.forwards + 1)


def chosen(condition: Array, one: Any, other: Any) -> Any:
    """One pytree or the other of the same shapes, by a condition of shape []."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)
