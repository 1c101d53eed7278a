"""Attacks on parameters: any attack on pixels, through what parameters make of them."""

from typing import Any, NamedTuple, cast

import jax.numpy as jnp

from robust_jax.attacks.skeletons.common import chosen, until_won
from robust_jax.core.facts import attack
from robust_jax.core.margin import verdict
from robust_jax.core.types import (
    Array,
    Attack,
    Goal,
    Incumbent,
    Key,
    LogitsFn,
    ParametricThreat,
    Threat,
)


class ThroughState(NamedTuple):
    """State of one example; the inner attack's inputs are parameters."""

    x: Array  # [*S]
    goal: Goal
    inner: Any  # the attack's state, whose x are the parameters of no change
    best: Incumbent  # its x is an image, its distance one of parameters
    i: Array  # [] int32
    forwards: Array  # [] int32
    backwards: Array  # [] int32


@attack(
    paper="Engstrom et al., ICML 2019",
    norms=("rotation-translation", "flow", "colour-shift"),
)
def through(attack: Attack) -> Attack:
    """An attack that chooses the parameters of a threat such as RotationTranslation.

    The inner attack sees the threat's parameters as its input, the model behind
    `threat.apply`, and the threat's sets of parameters.
    Guarantees: those of the attack: every image is one that allowed parameters make;
        at least as strong as the clean input; deterministic in key.
    Edge cases: the result's distance is that of the parameters.

    Args:
        attack: of the library, or your own, for the norm Linf.

    >>> rj.attacks.through(rj.attacks.grid(counts=(3, 3, 5)))
    through(attack=grid(counts=(3, 3, 5,)))
    """

    def init(
        key: Key, threat: Threat, x: Array, goal: Goal, logits: Array
    ) -> ThroughState:
        start = cast(ParametricThreat, threat).start(x)
        inner = attack.init(key, threat, start, goal, logits)
        margin = verdict(logits, goal).astype(inner.best.margin.dtype)
        inner = inner._replace(best=inner.best._replace(margin=margin))
        return ThroughState(
            x=x,
            goal=goal,
            inner=inner,
            best=inner.best._replace(x=x),
            i=inner.i,
            forwards=inner.forwards,
            backwards=inner.backwards,
        )

    def step(logits_fn: LogitsFn, threat: Threat, state: ThroughState) -> ThroughState:
        before, apply = state.inner, cast(ParametricThreat, threat).apply

        def of_parameters(z: Array) -> Array:
            return logits_fn(apply(state.x, z))

        inner = attack.step(of_parameters, threat, before)
        better = jnp.any(inner.best.x != before.best.x)
        found = inner.best._replace(x=apply(state.x, inner.best.x))
        return state._replace(
            inner=inner,
            best=chosen(better, found, state.best),
            i=inner.i,
            forwards=state.forwards + inner.forwards - before.forwards,
            backwards=state.backwards + inner.backwards - before.backwards,
        )

    return until_won(init, step, attack.steps)
