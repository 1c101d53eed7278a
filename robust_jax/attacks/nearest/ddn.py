"""DDN: steps along the gradient, onto a sphere whose radius follows success."""

import jax
import jax.numpy as jnp

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.skeletons.minimum_norm import (
    Evaluated,
    NearState,
    along,
    half_cosine,
    in_box,
    largest_radius,
    minimum_norm,
    unit_or_random,
)
from robust_jax.core import checks
from robust_jax.core.facts import NEAREST, attack
from robust_jax.core.types import Array, Attack, Key, Threat
from robust_jax.losses import objectives

_FAR = 1e3  # Times the radius: from there the projection reaches the sphere.


@attack(
    paper="Rony et al., CVPR 2019", norms=("l2",), finds=NEAREST, short={"steps": 498}
)
def ddn(
    steps: int = 100,
    gamma: float = 0.05,
    first_radius: float = 1.0,
    levels: int | None = None,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """Decoupled direction and norm: the smallest perturbation in L2.

    A step adds the gradient at unit length, times a rate that falls from 1 to 0.01 by
    half a cosine, then goes back along the displacement to a radius of its own, which
    shrinks by gamma after an adversarial iterate and grows by it after another.
    Guarantees: every iterate is in the box; of all iterates the nearest that is
    adversarial and within eps is returned; deterministic in key; dtype kept.
    Edge cases: a zero gradient moves in a random direction; eps caps the radius, and
    eps = inf leaves it to the box; until a success, the strongest iterate is kept.

    Args:
        steps: moves, each of 1 forward and 1 backward, >= 1.
        gamma: relative change of the radius, in (0, 1).
        first_radius: pixel units, > 0.
        levels: round iterates to so many equally spaced values of [0, 1], >= 2; 256
            gives images of 8 bits. None does not round.
        objective: the quantity to climb.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside these ranges; when it is first run, for
        a threat other than L2.
    References: Rony et al., "Decoupling Direction and Norm for Efficient
        Gradient-Based L2 Adversarial Attacks and Defenses", CVPR 2019, Alg. 1. Differs
        from the authors' code in: what the box cuts off is made up for by the other
        coordinates, so that the radius is met; no rounding by default.

    >>> rj.attacks.ddn(steps=50), rj.attacks.ddn(50).steps
    (ddn(steps=50, gamma=0.05, first_radius=1.0), 51)
    >>> rj.attacks.by_name("ddn").norms
    ('l2',)
    """
    checks.positive_integer("steps", steps)
    checks.positive_number("first_radius", first_radius)
    checks.share("gamma", gamma)
    if levels is not None:
        wanted = "None or an integer >= 2"
        checks.holds("levels", levels, lambda v: v >= 2, wanted)

    def start(key: Key, threat: Threat, x: Array) -> tuple[Array, Array]:
        if not isinstance(threat, threats.L2):
            name = type(threat).__name__
            raise ValueError(f"threat={name}; expected threats.L2 for ddn; use fmn")
        most = largest_radius(threat, x)
        return x, jnp.minimum(first_radius, most)

    def move(threat: Threat, state: NearState, at: Evaluated) -> tuple[Array, Array]:
        most = largest_radius(threat, state.x)
        factor = jnp.where(at.margin >= 0, 1 - gamma, 1 + gamma)
        radius = jnp.minimum(state.own * factor, most)
        climb = unit_or_random(state, at.grad)
        ahead = along(state.iterate, half_cosine(0.01, steps, state.i), climb)
        length = threat.distance(ahead, state.x)
        far = _FAR * radius / jnp.where(length > 0, length, 1)
        way = jax.tree.map(jnp.subtract, ahead, state.x)
        ball = threat.replace(eps=radius)
        ahead = ball.project(along(state.x, far, way), state.x)
        return ahead if levels is None else _rounded(threat, ahead, levels), radius

    return minimum_norm(objective, start, move, steps=steps, gradient=gradient)


def _rounded(threat: Threat, x: Array, levels: int) -> Array:
    return jax.tree.map(
        lambda a: jnp.round(a * (levels - 1)) / (levels - 1), in_box(threat, x)
    )
