"""ACG: APGD's step sizes along conjugate directions.

Yamamura et al., "Diversified Adversarial Attacks based on Conjugate Gradient Method",
ICML 2022.
"""

from typing import Any

import jax
import jax.numpy as jnp

from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.skeletons.auto_ascent import (
    DirectionRule,
    auto_ascent,
    exact_projection,
)
from robust_jax.attacks.skeletons.projected import Start, at_random
from robust_jax.core.facts import attack
from robust_jax.core.types import Array, Attack, Threat
from robust_jax.losses import objectives


@attack(paper="Yamamura et al., ICML 2022", norms=("linf", "l2"))
def acg(
    objective: objectives.Objective = objectives.margin,
    steps: int = 100,
    start: Start = at_random,
    gradient: Gradient | None = None,
) -> Attack:
    """Auto conjugate gradient: diverse because its directions remember.

    The direction is grad + beta * (last direction), with Hestenes and Stiefel's beta,
    at least 0; steps and checkpoints are APGD's, without momentum.
    Guarantees, edge cases: see `auto_ascent`; a beta of 0 / 0 counts as 0.

    Args:
        objective: the quantity to climb; the margin is the authors'.
        steps: moves, >= 1; the authors use 100.
        start: (key, threat, x) -> the first iterate. (The authors' first restart
            begins in the middle of the feasible set: `at_the_middle`.)
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: if steps is not an integer >= 1.
    References: Yamamura et al., ICML 2022, Alg. 1, Eq. 6 and 7. Differs from the
        authors' code in: the first window, as `apgd`; other norms than Linf take their
        steepest step; a beta of 0 / 0 counts as 0; the start is random (theirs is
        `at_the_middle`).

    >>> attack = rj.attacks.acg(steps=50)
    >>> attack, attack.steps
    (acg(steps=50), 51)
    """
    return auto_ascent(
        objective,
        DirectionRule(_no_past, _conjugate),
        start,
        steps=steps,
        inertia=0.0,
        project=exact_projection,
        gradient=gradient,
    )


def at_the_middle(key: Any, threat: Threat, x: Array) -> Array:
    """Starts in the middle of the box around x: ACG's first start, for Linf."""
    low = threat.project(jax.tree.map(lambda a: jnp.full_like(a, -jnp.inf), x), x)
    high = threat.project(jax.tree.map(lambda a: jnp.full_like(a, jnp.inf), x), x)
    return jax.tree.map(lambda a, b: a + (b - a) / 2, low, high)


def _no_past(x: Array) -> tuple[Array, Array]:
    zeros = jax.tree.map(jnp.zeros_like, x)
    return zeros, zeros  # The gradient and the direction before.


def _conjugate(grad: Array, past: tuple[Array, Array]) -> tuple[Array, Any]:
    """Hestenes & Stiefel: beta = <g, y> / <s, y>, y = (last g) - g, s the direction."""
    leaves = jax.tree.leaves((grad, past))
    unit = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in leaves]))
    unit = jnp.where(unit == 0, 1, unit)  # Products of tiny gradients underflow.
    scaled, (last, direction) = jax.tree.map(lambda a: a / unit, (grad, past))
    change = jax.tree.map(jnp.subtract, last, scaled)
    along = _inner(direction, change)
    beta = jnp.where(along == 0, 0, _inner(scaled, change) / along)
    beta = jnp.maximum(beta, 0)
    turned = jax.tree.map(lambda g, s: g + (beta * s).astype(g.dtype), grad, past[1])
    return turned, (grad, turned)


def _inner(one: Array, other: Array) -> Array:
    products = jax.tree.map(lambda a, b: jnp.sum(a * b), one, other)
    return jnp.sum(jnp.stack(jax.tree.leaves(products)))
