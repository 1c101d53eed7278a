"""Any fixed-budget attack as a minimum-norm attack: bisection over its radius."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from robust_jax import threats
from robust_jax.attacks.ascent.apgd import apgd
from robust_jax.attacks.skeletons.common import chosen, nothing_seen, until_won
from robust_jax.attacks.skeletons.minimum_norm import largest_radius
from robust_jax.core import checks, incumbent
from robust_jax.core.facts import NEAREST, attack
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

_FIRST = 1 / 8  # Of the largest radius: where the search starts if nobody says.


class RadiusState(NamedTuple):
    """State of one example."""

    x: Array  # [*S]
    goal: Goal
    key: Key
    inner: Any  # the attack's state at the present radius
    clean: Incumbent  # that each round starts from
    clean_logits: Array  # [K]
    radius: Array  # [] of this round
    low: Array  # [] the largest radius that held
    high: Array  # [] the nearest success; inf before one
    round: Array  # [] int32
    best: Incumbent
    i: Array  # [] int32
    forwards: Array  # [] int32
    backwards: Array  # [] int32


@attack(paper="Rony, adversarial-library", norms=(), finds=NEAREST)
def minimise_radius(
    attack: Attack, rounds: int = 12, first_radius: float | None = None
) -> Attack:
    """The least radius at which a fixed-budget attack succeeds, by bisection.

    Each round runs the attack with a radius of its own, to its first success or to the
    end of its budget, from new random numbers. Before the first success the radius
    doubles from round to round; then it halves the gap between the largest radius that
    held and the distance of the nearest success, which may be smaller than the radius
    at which it was found.
    Guarantees: of all successes within eps the nearest is returned; deterministic in
    key; no weaker at any round than the attack alone at that radius.
    Edge cases: eps caps every radius; in L0 radii are whole numbers, and the search
    ends when they meet; eps = 0 returns x.

    Args:
        attack: a fixed-budget attack, whose budget each round may use.
        rounds: >= 1.
        first_radius: in the threat's norm, pixel units, > 0; None is an eighth of the
            distance to the farthest corner of the box.
    Raises: ValueError: for arguments outside these ranges.
    References: minimal-APGD in Rony's adversarial-library. Differs from it in: rounds
        grow before they halve; the distance of a success counts, not its radius.

    >>> rj.attacks.minimise_radius(rj.attacks.apgd(steps=20), rounds=10)
    minimise_radius(attack=apgd(steps=20, radii=(1.0,)), rounds=10)
    """
    checks.positive_integer("rounds", rounds)
    if first_radius is not None:
        checks.positive_number("first_radius", first_radius)
    calls = rounds * attack.steps

    def init(
        key: Key, threat: Threat, x: Array, goal: Goal, logits: Array
    ) -> RadiusState:
        radius = _first(threat, x, first_radius)
        clean = incumbent.clean_point(threat, x, logits, goal)
        inner = attack.init(key, _at(threat, radius), x, goal, logits)
        return RadiusState(
            x=x,
            goal=goal,
            key=key,
            inner=inner._replace(best=clean),
            clean=clean,
            clean_logits=logits,
            radius=radius,
            low=jnp.zeros_like(radius),
            high=jnp.full_like(radius, jnp.inf),
            round=jnp.zeros((), jnp.int32),
            **nothing_seen(x),
        )

    def step(logits_fn: LogitsFn, threat: Threat, state: RadiusState) -> RadiusState:
        before, ball = state.inner, _at(threat, state.radius)
        inner = attack.step(logits_fn, ball, before)
        over = attack.done(ball, inner)
        best = incumbent.closest(state.best, inner.best, threat.eps)
        state = state._replace(
            inner=inner,
            best=best,
            i=state.i + 1,
            forwards=state.forwards + inner.forwards - before.forwards,
            backwards=state.backwards + inner.backwards - before.backwards,
        )
        return chosen(over, _next_round(attack, threat, state, calls, rounds), state)

    return until_won(init, step, calls)


@attack(
    paper="Croce & Hein, ICML 2020 (APGD); bisection over the radius",
    norms=("linf", "l2"),
    finds=NEAREST,
    least_classes=3,
    short={"steps": 40, "rounds": 12},
)
def minimal_apgd(
    objective: objectives.Objective = objectives.dlr,
    steps: int = 100,
    rounds: int = 20,
    first_radius: float | None = None,
) -> Attack:
    """The least radius at which APGD succeeds. See `minimise_radius` and `apgd`.

    >>> rj.attacks.minimal_apgd(steps=20, rounds=10).steps
    210
    """
    return minimise_radius(apgd(objective, steps), rounds, first_radius)


def _next_round(
    attack: Attack, threat: Threat, state: RadiusState, calls: int, rounds: int
) -> RadiusState:
    """The state in which the attack starts anew, at the next radius."""
    won = state.inner.best.margin >= 0
    high = jnp.where(
        won, jnp.minimum(state.high, state.inner.best.distance), state.high
    )
    low = jnp.where(won, state.low, jnp.maximum(state.low, state.radius))
    most = largest_radius(threat, state.x)
    radius = jnp.where(jnp.isinf(high), 2 * state.radius, (low + high) / 2)
    over = state.round + 1 >= rounds
    if isinstance(threat, threats.L0):
        radius = jnp.floor(radius)
        over |= high - low <= 1
    radius = jnp.minimum(radius, most)
    number = state.round + 1
    key = jax.random.fold_in(state.key, number)
    inner = attack.init(
        key, _at(threat, radius), state.x, state.goal, state.clean_logits
    )
    return state._replace(
        inner=inner._replace(best=state.clean),
        radius=radius,
        low=low,
        high=high,
        round=number,
        i=jnp.where(over, calls, state.i),
    )


def _first(threat: Threat, x: Array, first_radius: float | None) -> Array:
    most = largest_radius(threat, x)
    least = jnp.ceil(most * _FIRST) if isinstance(threat, threats.L0) else most * _FIRST
    return jnp.minimum(least if first_radius is None else first_radius, most)


def _at(threat: Threat, radius: Array) -> Any:
    return threat.replace(eps=radius)
