"""What HopSkipJump and GeoDA share: bisect, probe the normal, move along it, again."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.attacks.skeletons.common import chosen
from robust_jax.attacks.skeletons.decision import (
    Bracket,
    Decision,
    First,
    Learn,
    between,
    unit_bracket,
)
from robust_jax.attacks.skeletons.minimum_norm import in_box
from robust_jax.attacks.skeletons.normal_estimates import Probes, no_probes, unit
from robust_jax.core import checks
from robust_jax.core.types import Array, Threat

BISECT, PROBE, MOVE = range(3)


class WalkState(NamedTuple):
    """What such an attack remembers of one example."""

    phase: Array  # [] int32
    anchor: Array  # [*S] the point of the boundary that is probed, adversarial
    far: Array  # [*S] the adversarial end of the bisection
    bracket: Bracket  # shares of the way from x to `far`
    probes: Probes
    round: Array  # [] int32, moves made
    length: Array  # [] of the move that is tried
    tries: Array  # [] int32, lengths of this move that were tried


Phase = Callable[[Any, WalkState, Decision], WalkState]  # (threat, own, answer) -> own


def first_of(name: str) -> First:
    """What is remembered when a start succeeds; refuses norms but L2 and Linf."""

    def first(threat: Threat, decision: Decision) -> WalkState:
        checks.threat(name, threat, "l2", "linf")
        zero, bracket = jnp.zeros((), jnp.int32), unit_bracket(decision.x)
        return WalkState(
            phase=zero + BISECT,
            anchor=decision.asked,
            far=decision.asked,
            bracket=bracket,
            probes=no_probes(decision.x),
            round=zero,
            length=jnp.zeros_like(bracket.low),
            tries=zero,
        )

    return first


def learning(bisected: Phase, probed: Phase, factor: float, most: int) -> Learn:
    """What is remembered after an answer of each phase.

    Args:
        bisected, probed: what those phases learn.
        factor: of a move's length after it failed.
        most: lengths, after which a move is given up and the anchor probed anew.
    """

    def moved(threat: Threat, own: WalkState, decision: Decision) -> WalkState:
        tries = own.tries + 1
        failed = ~decision.adversarial & (tries >= most)
        return own._replace(
            phase=jnp.select([decision.adversarial, failed], [BISECT, PROBE], MOVE),
            far=jnp.where(decision.adversarial, decision.asked, own.far),
            bracket=unit_bracket(decision.x),
            length=own.length * factor,
            tries=tries,
            round=own.round + (decision.adversarial | failed),
            probes=chosen(failed, no_probes(decision.x), own.probes),
        )

    def learn(threat: Threat, own: WalkState, decision: Decision) -> WalkState:
        def typed(phase: Phase, own: WalkState) -> WalkState:
            learnt = phase(threat, own, decision)  # Half floats, and a wider threat.
            return jax.tree.map(lambda a, b: b.astype(a.dtype), own, learnt)

        branches = (bisected, probed, moved)
        steps = [functools.partial(typed, phase) for phase in branches]
        return jax.lax.switch(own.phase, steps, own)

    return learn


def question(
    threat: Threat, own: WalkState, x: Array, probe: Array, origin: Array
) -> Array:
    """The middle of the bracket, the probe, or the move from an origin, [*S]."""
    half = between(threat, x, own.far, own.bracket.middle)
    normal = own.probes.normal()
    along = jnp.sign(normal) if threat.name == "linf" else unit(normal)
    move = in_box(threat, (origin + own.length * along).astype(x.dtype))
    phase = own.phase
    return jnp.where(phase == BISECT, half, jnp.where(phase == PROBE, probe, move))
