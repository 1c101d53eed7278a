"""ALMA: an augmented Lagrangian whose multiplier is learnt while the iterate moves."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.skeletons.common import chosen
from robust_jax.attacks.skeletons.minimum_norm import (
    Evaluated,
    NearState,
    along,
    minimum_norm,
    unit_or_random,
)
from robust_jax.core import checks
from robust_jax.core.facts import NEAREST, attack
from robust_jax.core.types import Array, Attack, Key, Threat
from robust_jax.losses import objectives

_CHECK_EVERY = 10  # Steps between checks of the penalty; the paper's M.
_IMPROVED = 0.95  # The paper's tau.
_GROWTH = 1.2  # Of the penalty parameter; the paper's gamma.
_MULTIPLIER = (1e-6, 1e12)
_TOLERANCE = 1e-4  # Of the ratio: asks for a little more than a tie.
_TINY = 1e-8


class _Own(NamedTuple):
    multiplier: Array  # [] mu
    penalty: Array  # [] rho
    violation: Array  # [] at the last check
    found_at: Array  # [] int32, the call of the first success
    step_size: Array  # [] at first
    square: Array  # [*S] running mean of squared slopes
    momentum: Array  # [*S]


@attack(
    paper="Rony et al., ICCV 2021",
    norms=("l2", "l1"),
    finds=NEAREST,
    least_classes=3,
    short={"steps": 498},
)
def alma(
    steps: int = 1000,
    first_distance: float = 0.1,
    final_step: float = 0.01,
    decay: float = 0.9,
    gradient: Gradient | None = None,
) -> Attack:
    """The augmented-Lagrangian method for adversarial attacks, for L2 and L1.

    Descends distance + P(y, rho, mu) by RMSprop with momentum, where y is the negative
    difference-of-logits ratio and P the penalty "P2". The multiplier mu follows P's
    slope in y by a running mean at every step; rho grows where, without a success so
    far, y does not fall. The first step is as long as `first_distance`; the step size
    falls exponentially after the first success.
    Guarantees: every iterate is in the box; of all iterates the nearest that is
    adversarial and within eps is returned; deterministic in key; dtype kept; scaling
    the logits changes next to nothing.
    Edge cases: a zero gradient at x starts in a random direction; eps caps only what
    is kept; until a success, the strongest iterate within eps is kept.

    Args:
        steps: moves, each of 1 forward and 1 backward, >= 1.
        first_distance: size of the first step, pixel units in the threat's norm, > 0;
            the paper has 0.1 for L2 and 0.5 for L1.
        final_step: last step size as a share of the first, in (0, 1).
        decay: of the running means and the momentum, in (0, 1).
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside these ranges; when it is first run, for
        threats other than L2 and L1, and with fewer than 3 classes (4 with a target).
    References: Rony et al., "Augmented Lagrangian Adversarial Attacks", ICCV 2021,
        Alg. 1. Differs from the authors' code in: the first step is measured without
        the coordinates that the box holds, rather than searched for.

    >>> rj.attacks.alma(steps=100, first_distance=0.5)  # As the paper does in L1.
    alma(steps=100, first_distance=0.5, final_step=0.01, decay=0.9)
    """
    checks.positive_integer("steps", steps)
    checks.positive_number("first_distance", first_distance)
    checks.share("final_step", final_step)
    checks.share("decay", decay)

    def start(key: Key, threat: Threat, x: Array) -> tuple[Array, _Own]:
        if not isinstance(threat, threats.L2 | threats.L1):
            name = type(threat).__name__
            raise ValueError(
                f"threat={name}; expected threats.L2 or threats.L1 for alma; use fmn"
            )
        one, zeros = jnp.ones((), jnp.float32), jax.tree.map(jnp.zeros_like, x)
        ones = jax.tree.map(jnp.ones_like, x)
        never = jnp.asarray(steps + 1, jnp.int32)
        return x, _Own(one, one, one, never, one, ones, zeros)

    def move(threat: Threat, state: NearState, at: Evaluated) -> tuple[Array, _Own]:
        own = _multipliers(state, at, decay)
        slope = _slope(threat, state, at, own)
        size = first_distance / _movable_size(threat, slope, state.x)
        own = own._replace(step_size=jnp.where(state.i == 0, size, own.step_size))
        since = jnp.maximum(state.i - own.found_at, 0)
        share = since / jnp.maximum(steps - own.found_at, 1)
        square = jax.tree.map(
            lambda s, g: decay * s + (1 - decay) * g**2, own.square, slope
        )
        momentum = jax.tree.map(
            lambda m, g, s: decay * m + g / (jnp.sqrt(s) + _TINY),
            own.momentum,
            slope,
            square,
        )
        length = own.step_size * final_step**share
        own = own._replace(square=square, momentum=momentum)
        return along(state.iterate, -length, momentum), own

    return minimum_norm(objectives.dlr, start, move, steps=steps, gradient=gradient)


def _multipliers(state: NearState, at: Evaluated, decay: float) -> _Own:
    """Penalty parameter and multiplier, with what this call saw."""
    own, violation = state.own, _TOLERANCE - at.value
    found_before = own.found_at <= state.i
    due, first = (state.i + 1) % _CHECK_EVERY == 0, state.i == 0
    stuck = ~found_before & (violation >= _IMPROVED * own.violation)
    penalty = jnp.where(due & stuck & ~first, _GROWTH * own.penalty, own.penalty)
    known = jnp.where(due | first, violation, own.violation)
    target = _penalty_slope(violation, penalty, own.multiplier)
    multiplier = decay * own.multiplier + (1 - decay) * target
    multiplier = jnp.where(first, own.multiplier, jnp.clip(multiplier, *_MULTIPLIER))
    won = (at.margin >= 0) & ~found_before
    found_at = jnp.where(won, state.i, own.found_at)
    return own._replace(
        multiplier=multiplier, penalty=penalty, violation=known, found_at=found_at
    )


def _penalty_slope(y: Array, rho: Array, mu: Array) -> Array:
    """dP2/dy of Birgin, Castillo & Martinez (2005)."""
    above = mu + 2 * mu * rho * y + rho**2 * y**2 / 2
    below = mu / (1 - rho * jnp.minimum(y, 0)) ** 2
    return jnp.where(y >= 0, above, below)


def _slope(threat: Threat, state: NearState, at: Evaluated, own: _Own) -> Array:
    """The gradient of distance + penalty; at first, of the penalty alone."""
    weight = _penalty_slope(_TOLERANCE - at.value, own.penalty, own.multiplier)
    weight = jnp.where(jnp.isfinite(weight), weight, 0)
    distance = jax.grad(lambda iterate: threat.distance(iterate, state.x))
    pull = distance(state.iterate)
    slope = jax.tree.map(lambda d, g: d - weight * g, pull, at.grad)
    way_out = unit_or_random(state, at.grad)
    blind = jax.tree.reduce(
        jnp.logical_and, jax.tree.map(lambda g: jnp.all(g == 0), at.grad)
    )
    first = jax.tree.map(
        lambda g, u: -jnp.where(blind, u, weight * g), at.grad, way_out
    )
    return chosen(state.i == 0, first, slope)


def _movable_size(threat: Threat, slope: Array, x: Array) -> Array:
    """The slope's size in the threat's norm, without what the box holds at x."""
    climb = jax.tree.map(jnp.negative, slope)
    free = threats.Linf(1.0, threat.lower, threat.upper).steepest(climb, x)
    free = jax.tree.map(lambda f, s: jnp.where(f == 0, 0, s), free, slope)
    size = threat.distance(free, jax.tree.map(jnp.zeros_like, free))
    return jnp.where(size > 0, size, 1)
