"""Attacks on parameters: any attack on pixels, through what parameters make of them."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from robust_jax.attacks.skeletons.common import chosen, until_won
from robust_jax.core.factories import factory
from robust_jax.core.types import (
    Array,
    Attack,
    Goal,
    Incumbent,
    Key,
    LogitsFn,
)


class ThroughState(NamedTuple):
    """State of one example; the inner attack's inputs are parameters."""

    x: Array  # [*S]
    goal: Goal
    inner: Any  # the attack's state, whose x are the parameters of no change
    clean_logits: Array | None  # [K] if the attack asks for them
    best: Incumbent  # its x is an image, its distance one of parameters
    i: Array  # [] int32
    forwards: Array  # [] int32
    backwards: Array  # [] int32


@factory()
def through(attack: Attack) -> Attack:
    """An attack that chooses the parameters of a threat such as RotationTranslation.

    The inner attack sees the threat's parameters as its input, the model behind
    `threat.apply`, and the threat's sets of parameters.
    Guarantees: those of the attack: every image is one that allowed parameters make;
        at least as strong as the clean input; deterministic in key.
    Edge cases: the result's distance is that of the parameters.

    Args:
        attack: of the library, or your own, for the norm Linf.
    """

    def init(key: Key, threat: Any, x: Array, goal: Goal) -> ThroughState:
        inner = attack.init(key, threat, threat.start(x), goal)
        return ThroughState(
            x=x,
            goal=goal,
            inner=inner,
            clean_logits=getattr(inner, "clean_logits", None),
            best=inner.best._replace(x=x),
            i=inner.i,
            forwards=inner.forwards,
            backwards=inner.backwards,
        )

    def step(logits_fn: LogitsFn, threat: Any, state: ThroughState) -> ThroughState:
        before = _told(state)

        def of_parameters(z: Array) -> Array:
            return logits_fn(threat.apply(state.x, z))

        inner = attack.step(of_parameters, threat, before)
        better = jnp.any(inner.best.x != before.best.x)
        found = inner.best._replace(x=threat.apply(state.x, inner.best.x))
        return state._replace(
            inner=inner,
            best=chosen(better, found, state.best),
            i=inner.i,
            forwards=state.forwards + inner.forwards - before.forwards,
            backwards=state.backwards + inner.backwards - before.backwards,
        )

    return until_won(init, step, attack.steps)


def _told(state: ThroughState) -> Any:
    """The inner state; before the first call it learns what the driver knows."""
    inner = state.inner
    clean = inner.best._replace(margin=state.best.margin)
    inner = inner._replace(best=chosen(state.i == 0, clean, inner.best))
    if state.clean_logits is not None:
        inner = inner._replace(clean_logits=state.clean_logits)
    return inner
