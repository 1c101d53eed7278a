"""StAdv: pixels flow to other places, smoothly."""

import jax
import jax.numpy as jnp

from robust_jax import optim
from robust_jax.attacks.gradients.estimator import Estimate, Gradient, Query, exact
from robust_jax.attacks.skeletons.projected import at_the_input, projected_ascent
from robust_jax.attacks.through import through
from robust_jax.core import checks
from robust_jax.core.factories import factory
from robust_jax.core.facts import attack
from robust_jax.core.types import Array, Attack
from robust_jax.losses import objectives


@attack(paper="Xiao et al., ICLR 2018", norms=("flow",))
def stadv(
    steps: int = 100,
    relative_step: float = 0.05,
    smoothness: float = 0.05,
    objective: objectives.Objective = objectives.margin,
) -> Attack:
    """An attack on the threat `Flow`: climbs the objective less the flow's roughness.

    The roughness is the sum over neighbouring pixels of the distance between their
    displacements, in units of the threat's reach.
    Guarantees: see `through` and `projected_ascent`.

    Args:
        steps: of Adam, >= 1.
        relative_step: as a multiple of eps, > 0.
        smoothness: tau of the paper, weight of the roughness, >= 0.
        objective: the quantity to climb.
    Raises: ValueError: arguments outside these ranges.
    References: Xiao et al., "Spatially Transformed Adversarial Examples", ICLR 2018
        (tau 0.05). Differs from it in: Adam, not L-BFGS; displacements are bounded by
        the threat; the strongest iterate is kept.

    >>> rj.attacks.stadv(steps=20, smoothness=0.01).steps
    21
    """
    checks.non_negative_number("smoothness", smoothness)
    return through(
        projected_ascent(
            objective,
            optim.adam(relative_step),
            at_the_input,
            steps=steps,
            gradient=_smoothed(smoothness),
        )
    )


def roughness(flow: Array) -> Array:
    """The sum of distances between displacements of neighbouring pixels, shape [].

    Args:
        flow: [H, W, 2].
    """
    down, across = jnp.diff(flow, axis=0), jnp.diff(flow, axis=1)
    return sum((jnp.sum(_length(d)) for d in (down, across)), jnp.zeros(()))


def _length(difference: Array) -> Array:
    """Over the last axis; its gradient at zero is zero."""
    squares = jnp.sum(difference**2, axis=-1)
    moved = squares > 0
    return jnp.where(moved, jnp.sqrt(jnp.where(moved, squares, 1)), 0)


@factory()
def _smoothed(weight: float) -> Gradient:
    """The gradient less `weight` times that of the roughness."""
    inner = exact()

    def estimate(query: Query, memory: tuple[()]) -> tuple[Estimate, tuple[()]]:
        seen, memory = inner.estimate(query, memory)
        rough = jax.grad(roughness)(query.x)
        return seen._replace(grad=seen.grad - weight * rough), memory

    return Gradient(inner.init, estimate, inner.forwards, inner.backwards)
