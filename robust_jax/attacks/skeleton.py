"""What nearly all attacks share: how they end, and how they choose."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from robust_jax.core.types import Array, Attack, AttackResult, State, Threat


def until_won(init: Callable[..., Any], step: Callable[..., Any], calls: int) -> Attack:
    """An attack that gives its incumbent, and is done when that is adversarial.

    Args:
        init: (key, threat, x, goal) -> state, with the fields of `core.types.State`.
        step: (logits_fn, threat, state) -> state.
        calls: of `step` in the whole budget, >= 1.
    """

    def finish(threat: Threat, state: State) -> AttackResult:
        return AttackResult(*state.best, state.forwards, state.backwards)

    def done(threat: Threat, state: State) -> Array:
        return (state.best.margin >= 0) | (state.i >= calls)

    return Attack(init, step, finish, done, calls)


def chosen(condition: Array, one: Any, other: Any) -> Any:
    """One pytree or the other of the same shapes, by a condition of shape []."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)
