"""HopSkipJump: the boundary's normal from yes and no, a leap, and a bisection back."""

import jax.numpy as jnp
import numpy as np

from robust_jax.attacks.skeletons.decision import Decision, between, decision_based
from robust_jax.attacks.skeletons.minimum_norm import box_ends, in_box
from robust_jax.attacks.skeletons.normal_estimates import gaussian, no_probes, unit
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

_FIRST_PROBE = 0.1  # Of the box's width; the authors' code.
_HALVINGS = 20  # A leap of a millionth of the distance has failed.


@attack(
    paper="Chen et al., S&P 2020",
    norms=("l2", "linf"),
    finds=NEAREST,
    sees=LABELS,
    per_step=(1, 0),
    short={"queries": 999},
)
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

    >>> rj.attacks.hop_skip_jump(queries=1000).steps
    1000
    """
    checks.positive_integer("first_probes", first_probes)
    checks.positive_integer("most_probes", most_probes)
    checks.positive_number("gamma", gamma)

    def bisected(threat: Threat, own: WalkState, decision: Decision) -> WalkState:
        bracket = own.bracket.halved(decision.adversarial)
        narrow = bracket.high - bracket.low <= gamma * _tolerance(threat, decision.x)
        return own._replace(
            bracket=bracket,
            anchor=between(threat, decision.x, own.far, bracket.high),
            phase=jnp.where(narrow, PROBE, BISECT),
            probes=no_probes(decision.x),
        )

    def probed(threat: Threat, own: WalkState, decision: Decision) -> WalkState:
        size = _probe_size(threat, own, decision.x)
        size = jnp.where(size > 0, size, 1)
        displacement = (decision.asked - own.anchor) / size
        probes = own.probes.after(decision.adversarial, displacement)
        rounds = (own.round + 1).astype(size.dtype)
        wanted = jnp.minimum(first_probes * jnp.sqrt(rounds), most_probes)
        return own._replace(
            probes=probes,
            phase=jnp.where(probes.asked >= wanted.astype(int), MOVE, PROBE),
            length=threat.distance(own.anchor, decision.x) / jnp.sqrt(rounds),
            tries=jnp.zeros_like(own.tries),
        )

    learn = learning(bisected, probed, factor=0.5, most=_HALVINGS)
    return decision_based(first_of("hop_skip_jump"), learn, _ask, queries=queries)


def _ask(noise: Array, threat: Threat, own: WalkState, x: Array) -> Array:
    # Directions are uniform on the sphere in L2; in Linf those of a cube.
    direction = unit(gaussian(noise) if threat.name == "l2" else noise)
    probe = in_box(threat, own.anchor + _probe_size(threat, own, x) * direction)
    return question(threat, own, x, probe, own.anchor)


def _tolerance(threat: Threat, x: Array) -> float:
    """Of the bisection, as a share of the distance (Sec. IV-B)."""
    d = int(np.prod(x.shape))
    return d**-1.5 if threat.name == "l2" else d**-2.0


def _probe_size(threat: Threat, own: WalkState, x: Array) -> Array:
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
