"""FMN: steps along the gradient, into a ball whose radius follows the boundary."""

import jax.numpy as jnp

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.skeletons.minimum_norm import (
    Evaluated,
    NearState,
    along,
    half_cosine,
    largest_radius,
    minimum_norm,
    unit_or_random,
)
from robust_jax.core import checks
from robust_jax.core.facts import NEAREST, attack
from robust_jax.core.types import Array, Attack, Key, NormBall, Threat
from robust_jax.losses import objectives

_BEYOND = 1 + 1e-5  # Onto the boundary itself, rounding would decide who won.


@attack(
    paper="Pintor et al., NeurIPS 2021",
    norms=("linf", "l2", "l1", "l0"),
    finds=NEAREST,
    short={"steps": 498},
)
def fmn(
    steps: int = 100,
    step_size: float = 1.0,
    gamma: float = 0.05,
    gradient: Gradient | None = None,
) -> Attack:
    """The fast minimum-norm attack, for Linf, L2, L1 and L0.

    A step adds the margin's gradient at Euclidean length `step_size`, then projects
    onto the ball of a radius of its own. Before the first success that radius reaches
    the boundary as the gradient sees it; afterwards it shrinks by gamma, to the nearest
    success at most, after an adversarial iterate, and grows by gamma after another.
    Step size and gamma fall to a hundredth and a fiftieth, by half a cosine. In L0 the
    radius starts at one coordinate and changes by one at least.
    Guarantees: every iterate is in the box and, up to rounding, in its ball; of all
    iterates the nearest that is adversarial and within eps is returned; deterministic
    in key; dtype kept; scaling the logits changes nothing.
    Edge cases: a zero gradient moves in a random direction; eps caps the radius, and
    eps = inf leaves it to the box; until a success, the strongest iterate is kept.

    Args:
        steps: moves, each of 1 forward and 1 backward, >= 1.
        step_size: Euclidean length of the first step, pixel units, > 0.
        gamma: relative change of the radius at first, in (0, 1).
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside these ranges.
    References: Pintor et al., "Fast Minimum-norm Adversarial Attacks through Adaptive
        Norm Constraints", NeurIPS 2021, Alg. 1. Differs from the authors' code, and
        that of foolbox and adversarial-library, in: projections onto ball and box
        together; in L2 theirs clips the displacement at one in place of its scale, so
        that points inside the ball are pushed to its surface; the first radius is a
        hair beyond the boundary, where rounding would decide.

    >>> rj.attacks.fmn(steps=50, step_size=0.5).steps
    51
    >>> rj.attacks.by_name("fmn").norms
    ('linf', 'l2', 'l1', 'l0')
    """
    checks.positive_integer("steps", steps)
    checks.positive_number("step_size", step_size)
    checks.share("gamma", gamma)

    def start(key: Key, threat: Threat, x: Array) -> tuple[Array, Array]:
        if not hasattr(threat, "dual"):
            checks.threat("fmn", threat, "linf", "l2", "l1", "l0")
        known = isinstance(threat, threats.L0)
        return x, jnp.asarray(1.0 if known else jnp.inf, jnp.float32)

    def move(threat: NormBall, state: NearState, at: Evaluated) -> tuple[Array, Array]:
        follow = _next_count if isinstance(threat, threats.L0) else _next_radius
        most = largest_radius(threat, state.x)
        change = gamma * half_cosine(0.02, steps, state.i)
        radius = jnp.minimum(follow(threat, state.own, at, change), most)
        climb = unit_or_random(state, at.grad)
        length = step_size * half_cosine(0.01, steps, state.i)
        ahead = along(state.iterate, length, climb)
        ball = threat.replace(eps=radius)
        return ball.project(ahead, state.x), radius

    return minimum_norm(objectives.margin, start, move, steps=steps, gradient=gradient)


def _next_radius(threat: NormBall, radius: Array, at: Evaluated, gamma: Array) -> Array:
    """Of a norm that measures lengths."""
    dual = threat.dual(at.grad)
    gap = jnp.abs(at.value) / jnp.where(dual > 0, dual, 1)
    found = at.best.margin >= 0
    reach = _BEYOND * (at.distance + jnp.where(dual > 0, gap, jnp.inf))
    grown = jnp.where(found, radius * (1 + gamma), reach)
    shrunk = jnp.minimum(radius * (1 - gamma), at.best.distance)
    return jnp.where(at.margin >= 0, shrunk, grown)


def _next_count(threat: Threat, radius: Array, at: Evaluated, gamma: Array) -> Array:
    """Of L0: whole coordinates."""
    grown = jnp.maximum(radius + 1, jnp.floor(radius * (1 + gamma)))
    shrunk = jnp.minimum(radius - 1, jnp.floor(radius * (1 - gamma)))
    shrunk = jnp.maximum(jnp.minimum(shrunk, at.best.distance), 0)
    return jnp.where(at.margin >= 0, shrunk, grown)
