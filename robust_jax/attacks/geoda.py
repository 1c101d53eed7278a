"""GeoDA: the boundary's normal from yes and no, and the way from x along it."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.attacks import frequencies
from robust_jax.attacks.decision import (
    Answer,
    Bracket,
    between,
    decision_based,
    unit_bracket,
)
from robust_jax.attacks.minimum_norm import in_box
from robust_jax.attacks.normals import Probes, gaussian, no_probes, unit
from robust_jax.attacks.skeleton import chosen
from robust_jax.core import checks
from robust_jax.core.memo import memoised
from robust_jax.core.types import Array, Attack

_BISECT, _PROBE, _WALK = range(3)
_QUERIES_A_ROUND = 500  # The authors' code.
_SEARCH = 30  # Queries that a round's walk and bisection take, about.
_DOUBLINGS = 10  # Of the way along a normal before it is given up.


class GeodaState(NamedTuple):
    """What GeoDA remembers of one example."""

    phase: Array  # [] int32
    anchor: Array  # [*S] the nearest point of the boundary, adversarial
    far: Array  # [*S] the adversarial end of the bisection
    bracket: Bracket  # shares of the way from x to `far`
    probes: Probes
    round: Array  # [] int32
    length: Array  # [] of the way from x that is tried
    doublings: Array  # [] int32


@memoised
def geoda(
    queries: int = 4_000,
    side: int | None = None,
    sigma: float = 0.0002,
    tolerance: float = 1e-4,
    share: float = 0.6,
) -> Attack:
    """Decision-based: from x along the normal of the boundary at its nearest point.

    Where the boundary is nearly flat, its normal at any point shows the shortest way
    to it. Gaussian displacements of the boundary point are asked about; the way from x
    along their signed mean (in Linf along its signs) is doubled until it is
    adversarial, and bisected. Rounds share the queries geometrically, later ones have
    more. For L2 and Linf.
    Guarantees: see `decision.decision_based`.
    Edge cases: a way that was doubled 10 times is given up; a boundary point that is
        farther than the last one is not gone to.

    Args:
        queries: evaluations besides that of the clean input, >= 2.
        side: displacements have the side x side lowest frequencies alone, >= 1; None is
            all. The paper takes 75 of 224.
        sigma: standard deviation of a displacement's coordinates, pixel units, > 0.
        tolerance: of the bisection, as a share of the distance, in (0, 1).
        share: mu of the paper, in (0, 1]; 1 gives each round as many.
    Raises: ValueError: arguments outside these ranges; while tracing, another norm.
    References: Rahmati et al., "GeoDA: a geometric framework for black-box adversarial
        attacks", CVPR 2020, Alg. 1. Differs from the authors' code in: the way starts
        at the last distance; the nearer boundary point is kept; answers have a
        baseline, see `normals`; L1 is left out.
    """
    if side is not None:
        checks.positive_integer("side", side)
    checks.positive_number("sigma", sigma)
    for name, value in (("tolerance", tolerance), ("share", share)):
        if not 0 < value <= 1:
            raise ValueError(f"{name}={value}; expected a number in (0, 1]")
    plan = _Plan(side, sigma, tolerance, _probes_of_rounds(queries, share))

    def learn(threat: Any, own: GeodaState, answer: Answer) -> GeodaState:
        branches = (_bisected, _probed, _walked)
        steps = [lambda s, f=f: f(plan, threat, s, answer) for f in branches]
        return jax.lax.switch(own.phase, steps, own)

    ask = functools.partial(_ask, plan)
    return decision_based(_first, learn, ask, queries=queries)


class _Plan(NamedTuple):
    """The static part of the attack, see `geoda`."""

    side: int | None
    sigma: float
    tolerance: float
    probes: np.ndarray  # [rounds]


def _first(threat: Any, answer: Answer) -> GeodaState:
    _check_norm(threat)
    zero, bracket = jnp.zeros((), jnp.int32), unit_bracket(answer.x)
    return GeodaState(
        phase=zero + _BISECT,
        anchor=answer.asked,
        far=answer.asked,
        bracket=bracket,
        probes=no_probes(answer.x),
        round=zero,
        length=jnp.zeros_like(bracket.low),
        doublings=zero,
    )


def _bisected(plan: _Plan, threat: Any, own: GeodaState, answer: Answer) -> GeodaState:
    bracket = own.bracket.halved(answer.adversarial)
    narrow = bracket.high - bracket.low <= plan.tolerance
    here = between(threat, answer.x, own.far, bracket.high)
    nearer = threat.distance(here, answer.x) < threat.distance(own.anchor, answer.x)
    return own._replace(
        bracket=bracket,
        anchor=jnp.where(narrow & nearer, here, own.anchor),
        phase=jnp.where(narrow, _PROBE, _BISECT),
        probes=no_probes(answer.x),
    )


def _probed(plan: _Plan, threat: Any, own: GeodaState, answer: Answer) -> GeodaState:
    probes = own.probes.after(
        answer.adversarial, (answer.asked - own.anchor) / plan.sigma
    )
    wanted = jnp.asarray(plan.probes)[jnp.minimum(own.round, len(plan.probes) - 1)]
    return own._replace(
        probes=probes,
        phase=jnp.where(probes.asked >= wanted, _WALK, _PROBE),
        length=threat.distance(own.anchor, answer.x),
        doublings=jnp.zeros_like(own.doublings),
    )


def _walked(plan: _Plan, threat: Any, own: GeodaState, answer: Answer) -> GeodaState:
    doublings = own.doublings + 1
    failed = ~answer.adversarial & (doublings >= _DOUBLINGS)
    done = answer.adversarial | failed
    return own._replace(
        phase=jnp.select([answer.adversarial, failed], [_BISECT, _PROBE], _WALK),
        far=jnp.where(answer.adversarial, answer.asked, own.far),
        bracket=unit_bracket(answer.x),
        length=own.length * 2,
        doublings=doublings,
        round=own.round + done,
        probes=chosen(failed, no_probes(answer.x), own.probes),
    )


def _ask(plan: _Plan, noise: Array, threat: Any, own: GeodaState, x: Array) -> Array:
    half = between(threat, x, own.far, own.bracket.middle)
    noise = gaussian(noise)
    if plan.side is not None:
        noise = frequencies.smoothed(noise, plan.side)
    probe = in_box(threat, own.anchor + plan.sigma * noise)
    normal = own.probes.normal()
    along = jnp.sign(normal) if threat.name == "linf" else unit(normal)
    walk = in_box(threat, (x + own.length * along).astype(x.dtype))
    phase = own.phase
    return jnp.where(phase == _BISECT, half, jnp.where(phase == _PROBE, probe, walk))


def _probes_of_rounds(queries: int, share: float) -> np.ndarray:
    """How many probes each round has, [rounds] int: proportional to mu**(-2 t / 3)."""
    rounds = max(1, round(queries / _QUERIES_A_ROUND))
    weights = share ** (-2 * np.arange(rounds) / 3)
    left = queries - _SEARCH * (rounds + 1)
    return np.maximum(1, np.round(left * weights / weights.sum())).astype(int)


def _check_norm(threat: Any) -> None:
    if threat.name not in ("l2", "linf"):
        raise ValueError(
            f"threat={type(threat).__name__}; expected L2 or Linf for geoda"
        )
