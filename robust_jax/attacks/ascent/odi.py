"""PGD from starts that differ in the model's output, not only in its input."""

import jax
import jax.numpy as jnp

from robust_jax import optim
from robust_jax.attacks.gradients.estimator import Climb, Gradient
from robust_jax.attacks.skeletons import projected
from robust_jax.core import checks
from robust_jax.core.facts import attack
from robust_jax.core.streams import OfSteps
from robust_jax.core.types import Array, Attack
from robust_jax.losses import objectives


@attack(paper="Tashiro et al., NeurIPS 2020", norms=("linf", "l2"))
def odi_pgd(
    steps: int = 20,
    relative_step: float = 0.25,
    diversification_steps: int = 2,
    diversification_step: float = 1.0,
    objective: objectives.Objective = objectives.margin,
    gradient: Gradient | None = None,
) -> Attack:
    """PGD after output diversified initialisation (ODI).

    The first steps, from a random start, climb w @ logits with w uniform in [-1, 1]^K,
    drawn once per key: points that are random in the input often give the same
    logits, those that are extreme in a random direction of the logits do not. PGD on
    the objective goes on from there. Made for restarts (the authors take 20).
    Guarantees: those of `projected_ascent`; iterates of the first steps count too.
    Edge cases: those of `projected_ascent`.

    Args:
        steps: moves of PGD, >= 1.
        relative_step: their size as a multiple of eps; 2 / 255 of 8 / 255 on CIFAR-10.
        diversification_steps: moves before them, >= 1.
        diversification_step: their size as a multiple of eps.
        objective: the quantity that PGD climbs.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: if an argument is out of range.
    References: Tashiro et al., "Diversity can be Transferred: Output Diversification
        for White- and Black-box Attacks", NeurIPS 2020. Differs from the authors' code
        in: the random start is clipped to the box; the best iterate is kept rather
        than the last one; other norms than Linf take their steepest step.

    >>> rj.attacks.odi_pgd(steps=20, diversification_steps=5).steps
    26
    """
    checks.positive_integer("steps", steps)
    checks.positive_integer("diversification_steps", diversification_steps)
    checks.positive_number("relative_step", relative_step)
    checks.positive_number("diversification_step", diversification_step)

    def climb_of(state: projected.ProjectedState) -> Climb:
        key = jax.random.fold_in(state.key, OfSteps.WEIGHTS)

        def climb(logits: Array) -> Array:
            weights = jax.random.uniform(key, logits.shape, jnp.float32, -1.0, 1.0)
            diverse, direct = weights @ logits, objective(logits, state.goal)
            return jnp.where(state.i < diversification_steps, diverse, direct)

        return climb

    def relative_step_at(move: Array) -> Array:
        diverse = move < diversification_steps
        return jnp.where(diverse, diversification_step, relative_step)

    return projected.ascent(
        climb_of,
        optim.steepest(relative_step_at),
        projected.at_random,
        steps=diversification_steps + steps,
        gradient=gradient,
    )
