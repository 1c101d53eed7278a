"""SLIDE: sparse L1 descent."""

from robust_jax import optim
from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.skeletons.projected import Start, at_the_input, projected_ascent
from robust_jax.core.facts import attack
from robust_jax.core.types import Attack
from robust_jax.losses import objectives


@attack("percentile", paper="Tramer & Boneh, NeurIPS 2019", norms=("l1",))
def slide(
    steps: int = 20,
    relative_step: float = 0.1,
    percentile: float = 99.0,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
    start: Start = at_the_input,
) -> Attack:
    """Projected ascent in L1 by equal steps on the largest gradient entries.

    The steepest step of L1 moves a single coordinate; moving the top one percent of
    them at once gets much further in few steps. Only for `threats.L1`.
    Guarantees and edge cases: those of `projected.projected_ascent`.

    Args:
        steps: moves, >= 1.
        relative_step: L1 length of a step as a multiple of eps.
        percentile: share of the coordinates that stay, in percent, in [0, 100).
        objective: the quantity to climb.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
        start: (key, threat, x) -> the first iterate; `projected.at_random` for a
            uniform point of the ball.
    Raises: ValueError: for arguments outside those ranges; when the attack is traced
        with a threat other than L1.
    References: Tramer & Boneh, "Adversarial Training and Robustness for Multiple
        Perturbations", NeurIPS 2019, Alg. 1; defaults as in the authors' code (steps
        of 1 at eps 10). Differs from that code in: the exact projection onto ball
        and box rather than clipping and rescaling; the best iterate is kept;
        coordinates that the box stops never count among the largest (there an
        option); exactly the ceil of one percent moves (there one more, and ties).

    >>> rj.attacks.slide(steps=50, percentile=95.0)
    slide(steps=50, relative_step=0.1, percentile=95.0)
    """
    return projected_ascent(
        objective,
        optim.sparse_sign(relative_step, percentile),
        start,
        steps=steps,
        gradient=gradient,
    )
