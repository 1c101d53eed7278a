"""RayS: search over sign vectors, whose only numbers are distances."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.attacks.gradients.estimator import without
from robust_jax.attacks.skeletons.decision import Bracket, Decision
from robust_jax.attacks.skeletons.minimum_norm import (
    Evaluated,
    NearState,
    in_box,
    largest_radius,
    minimum_norm,
)
from robust_jax.core import checks
from robust_jax.core.facts import LABELS, NEAREST, attack
from robust_jax.core.types import Array, Attack, Key, Threat
from robust_jax.losses import objectives

_TOLERANCE = 1e-3  # Of the Euclidean length of a ray, as in the authors' code.


class RaysState(NamedTuple):
    """What RayS remembers of one example."""

    signs: Array  # [*S] +-1, the best ray
    radius: Array  # [] its distance; inf before the first success
    flipped: Array  # [*S] +-1, the ray that is tried
    bracket: Bracket  # of the radius, on the ray that is tried
    checking: Array  # [] bool: the question is whether the ray is better at all
    level: Array  # [] int32, there are 2**level blocks, at most one a coordinate
    block: Array  # [] int32, the next one to be flipped


@attack(
    paper="Chen & Gu, KDD 2020",
    norms=("linf",),
    finds=NEAREST,
    sees=LABELS,
    per_step=(1, 0),
    short={"queries": 999},
)
def rays(queries: int = 10_000, tolerance: float = _TOLERANCE) -> Attack:
    """Decision-based, Linf: flips blocks of signs, and keeps what brings x closer.

    A ray x + r * signs is adversarial from a radius on. Blocks of the signs are
    flipped in turn, first all, then halves, quarters and so on to single coordinates,
    again and again; one query says whether the flipped ray is adversarial at
    the best radius so far, and if it is, a bisection measures it.
    Guarantees: as `decision.decision_based`; the radius never grows.
    Edge cases: needs no start: the first rays are asked about at the farthest corner
        of the box, until one is adversarial.

    Args:
        queries: evaluations besides that of the clean input, >= 2.
        tolerance: of the bisection, as the Euclidean length of a ray, > 0.
    Raises: ValueError: arguments outside these ranges; while tracing, another norm.
    References: Chen & Gu, "RayS: A Ray Searching Method for Hard-label Adversarial
        Attack", KDD 2020, Alg. 1 and 3. Differs from the authors' code in: blocks
        whose lengths differ by one at most, theirs leave the last one short.

    >>> rj.attacks.rays(queries=1000, tolerance=0.01)
    rays(queries=1000, tolerance=0.01)
    """
    checks.positive_integer("queries", queries)
    checks.positive_number("tolerance", tolerance)
    checks.holds("queries", queries, lambda v: v >= 2, "an integer >= 2")

    def start(key: Key, threat: Threat, x: Array) -> tuple[Array, RaysState]:
        checks.threat("rays", threat, "linf")
        ones, zero = jnp.ones_like(x), jnp.zeros((), jnp.int32)
        wide = jnp.zeros((), jnp.promote_types(x.dtype, jnp.float32))
        own = RaysState(
            signs=ones,
            radius=wide + jnp.inf,
            flipped=ones,
            bracket=Bracket(wide, wide),
            checking=jnp.ones((), bool),
            level=zero,
            block=zero,
        )
        return _question(threat, own, x), own

    def move(
        threat: Threat, state: NearState, at: Evaluated
    ) -> tuple[Array, RaysState]:
        decision = Decision(state.iterate, at.margin >= 0, state.x)
        own = _learnt(threat, state.own, decision, tolerance)
        return _question(threat, own, state.x), own

    return minimum_norm(
        objectives.margin, start, move, steps=queries - 1, gradient=without()
    )


def _question(threat: Threat, own: RaysState, x: Array) -> Array:
    farthest = _reach(threat, x)
    radius = jnp.minimum(own.radius, farthest)
    asked = jnp.where(own.checking, radius, own.bracket.middle)
    return in_box(threat, (x + asked * own.flipped).astype(x.dtype))


def _reach(threat: Threat, x: Array) -> Array:
    """The radius of rays before the first success: the box's farthest corner."""
    far = largest_radius(threat.replace(eps=jnp.inf), x)
    return jnp.where(jnp.isfinite(far), far, 1.0)


def _learnt(
    threat: Threat, own: RaysState, decision: Decision, tolerance: float
) -> RaysState:
    """After an answer to `_question`."""
    radius = jnp.minimum(own.radius, _reach(threat, decision.x))
    better = own.checking & decision.adversarial
    opened = Bracket(jnp.zeros_like(own.bracket.low), radius)
    halved = own.bracket.halved(decision.adversarial)
    bracket = jax.tree.map(
        lambda new, old: jnp.where(own.checking, new, old), opened, halved
    )
    length = (bracket.high - bracket.low) * np.prod(decision.x.shape) ** 0.5
    measured = ~own.checking & (length <= tolerance)
    done = measured | (own.checking & ~decision.adversarial)
    known = better | ~own.checking
    signs = jnp.where(better, own.flipped, own.signs)
    own = own._replace(
        signs=signs,
        radius=jnp.where(known, bracket.high, own.radius),
        bracket=bracket,
        checking=done,
    )
    return jax.tree.map(lambda a, b: jnp.where(done, a, b), _next_ray(own), own)


def _next_ray(own: RaysState) -> RaysState:
    """With the next block flipped; its number and its level."""
    size = int(np.prod(own.signs.shape))
    blocks = jnp.minimum(jnp.left_shift(1, own.level), size)
    place = jnp.arange(size)
    inside = place * blocks // size == own.block
    flipped = jnp.where(inside.reshape(own.signs.shape), -own.signs, own.signs)
    last = own.block + 1 >= blocks
    level = own.level + (last & (blocks < size))
    return own._replace(
        flipped=flipped, level=level, block=jnp.where(last, 0, own.block + 1)
    )
