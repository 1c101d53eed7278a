"""Sign-OPT: descends the distance of the boundary along a ray, by signs of change."""

from typing import NamedTuple

import jax.numpy as jnp

from robust_jax.attacks.skeletons.common import chosen
from robust_jax.attacks.skeletons.decision import Bracket, Decision, decision_based
from robust_jax.attacks.skeletons.minimum_norm import in_box
from robust_jax.attacks.skeletons.normal_estimates import (
    Probes,
    gaussian,
    no_probes,
    unit,
)
from robust_jax.core import checks
from robust_jax.core.facts import LABELS, NEAREST, attack
from robust_jax.core.types import Array, Attack, Threat

_DIRECTIONS = 100  # The authors' code, as are the others.
_LONGEST = 15  # Rays that a line search tries, each way.
_LEAST_STEP = 1e-4
_LEAST_SMOOTHING = 1e-4  # Float32 rounds smaller changes of a ray away.
_TOLERANCE = 1e-4  # Of a distance, as a share of it.


class SignOptState(NamedTuple):
    """What Sign-OPT remembers of one example."""

    ray: Array  # [*S] the best ray, of Euclidean length one
    radius: Array  # [] where it becomes adversarial
    trial: Array  # [*S] the ray that is measured
    bracket: Bracket  # of its radius
    measuring: Array  # [] bool: its radius is bisected
    starts: Array  # [] int32, random rays that are still to be tried
    probes: Probes
    base: Array  # [*S] the ray that the line search starts from
    shrinking: Array  # [] bool: its steps become smaller, else larger
    tried: Array  # [] int32, rays of this line search, this way
    won: Array  # [] bool: it has found a better ray
    step_size: Array  # []
    smoothing: Array  # [] length of a probe


@attack(
    paper="Cheng et al., ICLR 2020",
    norms=("l2",),
    finds=NEAREST,
    sees=LABELS,
    per_step=(1, 0),
    short={"queries": 999},
)
def sign_opt(
    queries: int = 10_000,
    probes: int = 200,
    step_size: float = 0.2,
    smoothing: float = 0.001,
) -> Attack:
    """Decision-based, L2: descends the distance g of the boundary along a ray.

    g(ray) is known up to a bisection; one query tells the sign of
    g(ray + smoothing * u) - g(ray), as the point at g(ray) on the changed ray is
    adversarial or not. The mean of `probes` such signs times u is a descent direction;
    a line search doubles the step while g falls, or quarters it until g falls.
    Guarantees: see `decision.decision_based`; g never grows.
    Edge cases: where no step is better, the step size becomes 1 again and the
        smoothing a tenth, at least 1e-4, below which float32 rounds it away.

    Args:
        queries: evaluations besides that of the clean input, >= 2.
        probes: signs for one descent direction, >= 1.
        step_size: of the first line search, on rays of length one, > 0.
        smoothing: length of a probe relative to the ray, > 0.
    Raises: ValueError: arguments outside these ranges; while tracing, another norm.
    References: Cheng et al., "Sign-OPT: A Query-Efficient Hard-label Adversarial
        Attack", ICLR 2020, Alg. 1. Differs from the authors' code in: a ray that is
        not adversarial at the best distance is refused by that one query; a better one
        is bisected from zero, theirs within a growing 1 %; answers
        have a baseline, see `normals`; smoothing is bounded below; the start is one of
        the rays.

    >>> rj.attacks.sign_opt(queries=1000, probes=50)
    sign_opt(queries=1000, probes=50, step_size=0.2, smoothing=0.001)
    """
    checks.positive_integer("probes", probes)
    checks.positive_number("step_size", step_size)
    checks.positive_number("smoothing", smoothing)

    def first(threat: Threat, decision: Decision) -> SignOptState:
        checks.threat("sign_opt", threat, "l2")
        radius = threat.distance(decision.asked, decision.x)
        zero, no = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
        ray = unit(decision.asked - decision.x)
        return SignOptState(
            ray=ray,
            radius=radius,
            trial=ray,
            bracket=Bracket(jnp.zeros_like(radius), radius),
            measuring=~no,
            starts=zero + _DIRECTIONS,
            probes=no_probes(decision.x),
            base=ray,
            shrinking=no,
            tried=zero,
            won=no,
            step_size=jnp.full_like(radius, step_size),
            smoothing=jnp.full_like(radius, smoothing),
        )

    def learn(threat: Threat, own: SignOptState, decision: Decision) -> SignOptState:
        probing = chosen(
            own.starts > 0, _started(own, decision), _probed(own, decision)
        )
        searched = _searched(own, decision)
        asked = chosen(_searching(own, probes), searched, probing)
        return chosen(own.measuring, _measured(own, decision), asked)

    def ask(noise: Array, threat: Threat, own: SignOptState, x: Array) -> Array:
        noise = unit(gaussian(noise))
        length = jnp.where(own.measuring, own.bracket.middle, own.radius)
        random = jnp.where(own.starts > 0, noise, unit(own.ray + own.smoothing * noise))
        ahead = unit(own.base + own.step_size * own.probes.normal())
        ray = jnp.where(_searching(own, probes), ahead, random)
        ray = jnp.where(own.measuring, own.trial, ray)
        return in_box(threat, (x + length * ray).astype(x.dtype))

    return decision_based(first, learn, ask, queries=queries)


def _searching(own: SignOptState, probes: int) -> Array:
    """Whether a descent direction is known, and its line search is going on."""
    return (own.starts == 0) & (own.probes.asked >= probes)


def _opened(own: SignOptState, decision: Decision) -> SignOptState:
    """The ray that was asked about is to be measured: it is better, as far as the box.

    A point that the box has cut lies on a ray of its own, and nearer.
    """
    offset = decision.asked - decision.x
    size = jnp.sqrt(jnp.sum(offset**2)).astype(own.radius.dtype)
    bracket = Bracket(jnp.zeros_like(size), jnp.minimum(size, own.radius))
    return own._replace(
        trial=unit(offset), bracket=bracket, measuring=jnp.ones((), bool)
    )


def _started(own: SignOptState, decision: Decision) -> SignOptState:
    """After a question about a random ray."""
    counted = own._replace(starts=own.starts - 1)
    return chosen(decision.adversarial, _opened(counted, decision), counted)


def _probed(own: SignOptState, decision: Decision) -> SignOptState:
    """After a question about a ray near the best one; the next may begin a search."""
    change = (unit(decision.asked - decision.x) - own.ray) / own.smoothing
    no, zero = jnp.zeros((), bool), jnp.zeros((), jnp.int32)
    return own._replace(
        probes=own.probes.after(decision.adversarial, change.astype(own.ray.dtype)),
        base=own.ray,
        shrinking=no,
        tried=zero,
        won=no,
    )


def _searched(own: SignOptState, decision: Decision) -> SignOptState:
    """After a question about a ray of the line search."""
    better = _opened(own, decision)
    turns = ~own.shrinking & ~own.won
    smaller = own._replace(
        shrinking=own.shrinking | turns,
        step_size=jnp.where(turns | own.shrinking, own.step_size / 4, own.step_size),
        tried=jnp.where(turns, 0, own.tried + 1),
    )
    over = (~own.shrinking & own.won) | (smaller.tried >= _LONGEST)
    return chosen(
        decision.adversarial, better, chosen(over, _search_ended(smaller), smaller)
    )


def _measured(own: SignOptState, decision: Decision) -> SignOptState:
    """After a question about the radius of a better ray."""
    bracket = own.bracket.halved(decision.adversarial)
    narrow = bracket.high - bracket.low <= _TOLERANCE * own.radius
    own = own._replace(bracket=bracket)
    known = own._replace(
        ray=own.trial, radius=bracket.high, measuring=jnp.zeros((), bool)
    )
    larger = known._replace(
        won=jnp.ones((), bool), tried=known.tried + 1, step_size=known.step_size * 2
    )
    over = own.shrinking | (larger.tried >= _LONGEST)
    ended = _search_ended(chosen(own.shrinking, known, larger))
    searched = chosen(over, ended, larger)
    known = chosen(own.starts > 0, known, searched)
    return chosen(narrow, known, own)


def _search_ended(own: SignOptState) -> SignOptState:
    """Before the next probes; steps that became too small begin anew, finer."""
    small = own.step_size < _LEAST_STEP
    finer = jnp.maximum(own.smoothing / 10, _LEAST_SMOOTHING)
    return own._replace(
        probes=no_probes(own.ray),
        step_size=jnp.where(small, 1.0, own.step_size),
        smoothing=jnp.where(small, finer, own.smoothing),
    )
