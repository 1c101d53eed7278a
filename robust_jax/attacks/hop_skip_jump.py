"""HopSkipJump: the boundary's normal from yes and no, a leap, and a bisection back."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.attacks.decision import (
    Answer,
    Bracket,
    between,
    decision_based,
    unit_bracket,
)
from robust_jax.attacks.minimum_norm import box_ends, in_box
from robust_jax.attacks.normals import Probes, gaussian, no_probes, unit
from robust_jax.core import checks
from robust_jax.core.memo import memoised
from robust_jax.core.types import Array, Attack

_BISECT, _PROBE, _LEAP = range(3)
_FIRST_PROBE = 0.1  # Of the box's width; the authors' code.
_HALVINGS = 20  # A leap of a millionth of the distance has failed.


class HopState(NamedTuple):
    """What HopSkipJump remembers of one example."""

    phase: Array  # [] int32
    anchor: Array  # [*S] the last point of the boundary, adversarial
    far: Array  # [*S] the adversarial end of the bisection
    bracket: Bracket  # shares of the way from x to `far`
    probes: Probes
    round: Array  # [] int32, leaps made
    length: Array  # [] of the leap that is tried
    halvings: Array  # [] int32, of this leap


@memoised
def hop_skip_jump(
    queries: int = 10_000,
    first_probes: int = 100,
    most_probes: int = 10_000,
    gamma: float = 1.0,
) -> Attack:
    """Decision-based: estimates the boundary's normal, leaps along it, comes back.

    At a boundary point at distance r from x, in round t, `first_probes * sqrt(t)`
    displacements are asked about; their signed mean is the normal. A leap of length
    r / sqrt(t) along it, halved until it is adversarial, is followed by a bisection
    towards x. For L2 and Linf, where leaps are along the normal's signs.
    Guarantees: see `decision.decision_based`.
    Edge cases: a leap that was halved 20 times is given up, and the boundary point
        probed anew; without a finite box the first probes are a tenth of r.

    Args:
        queries: evaluations besides that of the clean input, >= 2.
        first_probes, most_probes: of a round, >= 1.
        gamma: scales the bisection's tolerance, gamma / d**1.5 of r in L2 and
            gamma / d**2 in Linf, d the number of coordinates; > 0.
    Raises: ValueError: arguments outside these ranges; while tracing, another norm.
    References: Chen et al., "HopSkipJumpAttack: A Query-Efficient Decision-Based
        Attack", S&P 2020, Alg. 1 and 2, with the constants of the authors' code.
        Differs from it in: the bisection's tolerance is relative in L2 too; the start
        is bisected as any other point is.
    """
    checks.positive_integer("first_probes", first_probes)
    checks.positive_integer("most_probes", most_probes)
    checks.positive_number("gamma", gamma)

    plan = _Plan(first_probes, most_probes, gamma)

    def learn(threat: Any, own: HopState, answer: Answer) -> HopState:
        branches = (_bisected, _probed, _leapt)
        steps = [lambda s, f=f: f(plan, threat, s, answer) for f in branches]
        return jax.lax.switch(own.phase, steps, own)

    return decision_based(_first, learn, _ask, queries=queries)


class _Plan(NamedTuple):
    """The static part of the attack, see `hop_skip_jump`."""

    first_probes: int
    most_probes: int
    gamma: float


def _first(threat: Any, answer: Answer) -> HopState:
    _check_norm(threat)
    zero, bracket = jnp.zeros((), jnp.int32), unit_bracket(answer.x)
    return HopState(
        phase=zero + _BISECT,
        anchor=answer.asked,
        far=answer.asked,
        bracket=bracket,
        probes=no_probes(answer.x),
        round=zero,
        length=jnp.zeros_like(bracket.low),
        halvings=zero,
    )


def _bisected(plan: _Plan, threat: Any, own: HopState, answer: Answer) -> HopState:
    bracket = own.bracket.halved(answer.adversarial)
    narrow = bracket.high - bracket.low <= plan.gamma * _tolerance(threat, answer.x)
    return own._replace(
        bracket=bracket,
        anchor=between(threat, answer.x, own.far, bracket.high),
        phase=jnp.where(narrow, _PROBE, _BISECT),
        probes=no_probes(answer.x),
    )


def _probed(plan: _Plan, threat: Any, own: HopState, answer: Answer) -> HopState:
    size = _probe_size(threat, own, answer.x)
    size = jnp.where(size > 0, size, 1)
    probes = own.probes.after(answer.adversarial, (answer.asked - own.anchor) / size)
    rounds = (own.round + 1).astype(size.dtype)
    wanted = jnp.minimum(plan.first_probes * jnp.sqrt(rounds), plan.most_probes)
    distance = threat.distance(own.anchor, answer.x)
    return own._replace(
        probes=probes,
        phase=jnp.where(probes.asked >= wanted.astype(int), _LEAP, _PROBE),
        length=distance / jnp.sqrt(rounds),
        halvings=jnp.zeros_like(own.halvings),
    )


def _leapt(plan: _Plan, threat: Any, own: HopState, answer: Answer) -> HopState:
    halvings = own.halvings + 1
    failed = ~answer.adversarial & (halvings >= _HALVINGS)
    return own._replace(
        phase=jnp.select([answer.adversarial, failed], [_BISECT, _PROBE], _LEAP),
        far=jnp.where(answer.adversarial, answer.asked, own.far),
        bracket=unit_bracket(answer.x),
        length=own.length / 2,
        halvings=halvings,
        round=own.round + (answer.adversarial | failed),
        probes=jax.tree.map(
            lambda a: jnp.where(failed, jnp.zeros_like(a), a), own.probes
        ),
    )


def _ask(noise: Array, threat: Any, own: HopState, x: Array) -> Array:
    """The next question of the present phase."""
    half = between(threat, x, own.far, own.bracket.middle)
    # Directions are uniform on the sphere in L2; in Linf those of a cube.
    direction = unit(gaussian(noise) if threat.name == "l2" else noise)
    probe = in_box(threat, own.anchor + _probe_size(threat, own, x) * direction)
    normal = own.probes.normal()
    along = jnp.sign(normal) if threat.name == "linf" else unit(normal)
    leap = in_box(threat, own.anchor + own.length * along)
    phase = own.phase
    return jnp.where(phase == _BISECT, half, jnp.where(phase == _PROBE, probe, leap))


def _tolerance(threat: Any, x: Array) -> float:
    """Of the bisection, as a share of the distance (Sec. IV-B)."""
    d = int(np.prod(x.shape))
    return d**-1.5 if threat.name == "l2" else d**-2.0


def _probe_size(threat: Any, own: HopState, x: Array) -> Array:
    """The Euclidean length of a probe: first a tenth of the box, then by the distance.

    sqrt(d) * theta * r in L2 and d * theta * r in Linf, theta the tolerance.
    """
    d, distance = int(np.prod(x.shape)), threat.distance(own.anchor, x)
    low, high = box_ends(threat, x)
    width = jnp.max(high - low)
    first = _FIRST_PROBE * jnp.where(jnp.isfinite(width), width, distance)
    factor = d**0.5 if threat.name == "l2" else d
    later = factor * _tolerance(threat, x) * distance
    return jnp.where(own.round == 0, first, later)


def _check_norm(threat: Any) -> None:
    if threat.name not in ("l2", "linf"):
        raise ValueError(
            f"threat={type(threat).__name__}; expected L2 or Linf for hop_skip_jump"
        )
