"""GeoDA: the boundary's normal from yes and no, and the way from x along it."""

import jax.numpy as jnp

from robust_jax.attacks.queries import _frequencies as frequencies
from robust_jax.attacks.skeletons.decision import Decision, between, decision_based
from robust_jax.attacks.skeletons.minimum_norm import in_box
from robust_jax.attacks.skeletons.normal_estimates import gaussian, no_probes
from robust_jax.attacks.skeletons.normal_walk import (
    BISECT,
    MOVE,
    PROBE,
    WalkState,
    first_of,
    learning,
    question,
)
from robust_jax.core import checks
from robust_jax.core.facts import LABELS, NEAREST, attack
from robust_jax.core.types import Array, Attack, Threat

_QUERIES_A_ROUND = 500  # The authors' code.
_SEARCH = 30  # Queries that a round's walk and bisection take, about.
_DOUBLINGS = 10  # Of the way along a normal before it is given up.
_TINY = 1e-12  # A rate at which rounds have the same number.


@attack(
    "side",
    paper="Rahmati et al., CVPR 2020",
    norms=("l2", "linf"),
    finds=NEAREST,
    sees=LABELS,
    per_step=(1, 0),
    short={"queries": 999},
)
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
        tolerance: of the bisection, as a share of the distance, in (0, 1].
        share: mu of the paper, in (0, 1]; 1 gives each round as many.
    Raises: ValueError: arguments outside these ranges; while tracing, another norm.
    References: Rahmati et al., "GeoDA: a geometric framework for black-box adversarial
        attacks", CVPR 2020, Alg. 1. Differs from the authors' code in: the way starts
        at the last distance; the nearer boundary point is kept; answers have a
        baseline, see `normals`; L1 is left out.

    >>> rj.attacks.geoda(queries=1000, side=8)
    geoda(queries=1000, side=8, sigma=0.0002, tolerance=0.0001, share=0.6)
    """
    if side is not None:
        checks.positive_integer("side", side)
    checks.positive_number("sigma", sigma)
    for name, value in (("tolerance", tolerance), ("share", share)):
        checks.holds(name, value, lambda v: 0 < v <= 1, "a number in (0, 1]")

    def bisected(threat: Threat, own: WalkState, decision: Decision) -> WalkState:
        bracket, distance = own.bracket.halved(decision.adversarial), threat.distance
        narrow = bracket.high - bracket.low <= tolerance
        here = between(threat, decision.x, own.far, bracket.high)
        nearer = distance(here, decision.x) < distance(own.anchor, decision.x)
        return own._replace(
            bracket=bracket,
            anchor=jnp.where(narrow & nearer, here, own.anchor),
            phase=jnp.where(narrow, PROBE, BISECT),
            probes=no_probes(decision.x),
        )

    def probed(threat: Threat, own: WalkState, decision: Decision) -> WalkState:
        displacement = (decision.asked - own.anchor) / sigma
        probes = own.probes.after(decision.adversarial, displacement)
        wanted = probes_of_round(queries, share, own.round)
        return own._replace(
            probes=probes,
            phase=jnp.where(probes.asked >= wanted, MOVE, PROBE),
            length=threat.distance(own.anchor, decision.x),
            tries=jnp.zeros_like(own.tries),
        )

    def ask(noise: Array, threat: Threat, own: WalkState, x: Array) -> Array:
        noise = gaussian(noise)
        if side is not None:
            noise = frequencies.smoothed(noise, side)
        return question(threat, own, x, in_box(threat, own.anchor + sigma * noise), x)

    learn = learning(bisected, probed, factor=2.0, most=_DOUBLINGS)
    return decision_based(first_of("geoda"), learn, ask, queries=queries)


def probes_of_round(queries: int, share: float, t: Array) -> Array:
    """How many probes round t has, []: in proportion to share**(-2 t / 3).

    Rounds beyond the last one that is planned have as many as that.
    """
    rounds = jnp.maximum(jnp.round(queries / _QUERIES_A_ROUND), 1)
    back = jnp.maximum(rounds - 1 - t, 0)
    rate = jnp.minimum(2 / 3 * jnp.log(share), -_TINY)  # Of a round before another.
    sum_of_weights = jnp.expm1(rate * rounds) / jnp.expm1(rate)
    left = queries - _SEARCH * (rounds + 1)
    return jnp.maximum(jnp.round(left * jnp.exp(rate * back) / sum_of_weights), 1)
