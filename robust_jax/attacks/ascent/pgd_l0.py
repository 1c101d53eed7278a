"""PGD for L0: dense steps, then the projection chooses the coordinates."""

import jax.numpy as jnp

from robust_jax import optim
from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.skeletons.projected import projected_ascent
from robust_jax.core.facts import attack
from robust_jax.core.types import Array, Attack, Key, Threat
from robust_jax.losses import objectives
from robust_jax.threats import L0, Linf

_STEP_SIZE = 120_000 / 255  # The authors' run_attack_pt.py.


@attack(paper="Croce & Hein, ICCV 2019", norms=("l0",))
def pgd_l0(
    steps: int = 20,
    step_size: float = _STEP_SIZE,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """Projected gradient ascent in L0 by dense steps, also known as PGD_0.

    A step adds the gradient at L1 length `step_size`; the projection keeps the
    floor(eps) coordinates that came furthest, as far as the box lets them. So the
    gradient's sizes decide which coordinates change. Only for `threats.L0`.
    Guarantees and edge cases: those of `projected.projected_ascent`; needs a finite
    box.

    Args:
        steps: moves, >= 1.
        step_size: L1 length of a step, pixel units; it should grow with the number
            of coordinates.
        objective: the quantity to climb.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: if steps or step_size are not positive; when the attack is
        traced with a threat other than L0.
    References: Croce & Hein, "Sparse and Imperceivable Adversarial Attacks", ICCV
        2019 (PGD_0). Differs from the authors' code in: eps counts channels of
        pixels, there pixels (the same for one channel); no noise of 1e-12 against
        ties, since exactly floor(eps) coordinates are kept; the best iterate is
        kept, and the last one judged.

    >>> rj.attacks.pgd_l0(steps=50, step_size=100.0)
    pgd_l0(steps=50, step_size=100.0)
    """
    return projected_ascent(
        objective,
        optim.l1_normalised(step_size),
        in_the_box,
        steps=steps,
        gradient=gradient,
    )


def in_the_box(key: Key, threat: Threat, x: Array) -> Array:
    """Starts from a uniform point of the box, projected.

    That keeps the coordinates which moved most, so it starts further out than
    `threat.sample`.

    Raises: ValueError: if the threat is not L0.
    """
    if not isinstance(threat, L0):
        raise ValueError(
            f"threat={type(threat).__name__}; expected threats.L0; use pgd for other "
            "norms"
        )
    box = Linf(jnp.inf, threat.lower, threat.upper)
    return threat.project(box.sample(key, x), x)
