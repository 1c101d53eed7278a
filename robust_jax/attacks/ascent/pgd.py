"""FGSM, BIM, PGD, MIM and their kin: a start, an objective and a step rule."""

from robust_jax import optim
from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.skeletons.projected import (
    at_random,
    at_random_signs,
    at_the_input,
    projected_ascent,
)
from robust_jax.core import checks
from robust_jax.core.facts import Setting, attack
from robust_jax.core.types import Attack
from robust_jax.losses import objectives

_MADRY_STEP = 1 / 30  # Madry et al. (2018), Sec. 5: 0.01 at eps 0.3 on MNIST.


@attack(paper="Goodfellow et al., ICLR 2015", norms=("linf", "l2", "l1", "l0", "patch"))
def fgsm(
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """One full step from the clean input.

    References: Goodfellow et al., "Explaining and Harnessing Adversarial Examples",
        ICLR 2015, Sec. 4. Differs in: other norms take their steepest step.

    >>> found = rj.attack(rj.attacks.fgsm(), net, images, labels, rj.threats.Linf(0.25))
    >>> found.x_adv
    array([[0.35, 0.65 ], [0.65 , 0.45 ], [0.55 , 0.45 ]], dtype=float32)
    >>> found.margin >= 0
    array([ True, False, True])
    """
    return projected_ascent(
        objective, optim.steepest(1.0), at_the_input, steps=1, gradient=gradient
    )


@attack(paper="Tramer et al., ICLR 2018", norms=("linf", "l2"))
def r_fgsm(
    relative_start: float = 0.5,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """A random sign step, then one gradient step over the rest of eps.

    Args:
        relative_start: share of eps that the random step takes, in (0, 1).
        objective: the quantity to climb.
    Raises: ValueError: if relative_start is outside (0, 1).
    References: Tramer et al., "Ensemble Adversarial Training", ICLR 2018, Sec. 3.3
        (alpha = eps / 2). Differs from it in: the random step is projected, so that
        every norm has one.

    >>> rj.attacks.r_fgsm(relative_start=0.25)
    r_fgsm(relative_start=0.25)
    """
    checks.holds(
        "relative_start", relative_start, lambda v: 0 < v < 1, "a share in (0, 1)"
    )
    return projected_ascent(
        objective,
        optim.steepest(1.0 - relative_start),
        at_random_signs(relative_start),
        steps=1,
        gradient=gradient,
    )


@attack(paper="Kurakin et al. 2017", norms=("linf", "l2", "l1", "l0", "patch"))
def bim(
    steps: int = 10,
    relative_step: float = 0.2,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """Projected ascent from the clean input, also known as I-FGSM.

    References: Kurakin et al., "Adversarial Examples in the Physical World", 2017,
        Sec. 2.2. Differs in: steps and step size are given, rather than one grey level
        and min(eps + 4, 1.25 eps) steps of it.

    >>> rj.attacks.bim(steps=20, relative_step=0.1)
    bim(steps=20, relative_step=0.1)
    """
    return projected_ascent(
        objective,
        optim.steepest(relative_step),
        at_the_input,
        steps=steps,
        gradient=gradient,
    )


@attack(
    paper="Madry et al., ICLR 2018",
    norms=("linf", "l2", "l1", "l0", "patch"),
    settings={
        "pgd": Setting(),
        "pgd_margin": Setting(
            {"objective": objectives.margin},
            paper="Madry et al., ICLR 2018; Carlini & Wagner 2017",
        ),
        "pgd_dlr": Setting(
            {"objective": objectives.dlr},
            paper="Madry et al., ICLR 2018; Croce & Hein, ICML 2020 (APGD)",
            least_classes=3,
        ),
    },
)
def pgd(
    steps: int = 40,
    relative_step: float = _MADRY_STEP,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """Projected gradient ascent from a random start.

    Args:
        steps: moves, >= 1.
        relative_step: step size as a multiple of eps.
        objective: cross entropy (Madry et al.), margin (Carlini & Wagner's f6), DLR.
    References: Madry et al., "Towards Deep Learning Models Resistant to Adversarial
        Attacks", ICLR 2018, Sec. 2.1. Differs from the authors' code in: the best
        iterate is kept rather than the last one.

    >>> attack = rj.attacks.pgd(steps=10, relative_step=0.25)
    >>> attack, attack.steps  # The last call judges the last iterate.
    (pgd(steps=10, relative_step=0.25), 11)
    >>> rj.attacks.pgd(10, gradient=rj.attacks.gradients.estimates.nes(samples=5))
    pgd(steps=10, relative_step=0.0333, gradient=nes(samples=5, sigma=0.001))
    """
    return projected_ascent(
        objective,
        optim.steepest(relative_step),
        at_random,
        steps=steps,
        gradient=gradient,
    )


@attack(paper="Dong et al., CVPR 2018", norms=("linf", "l2", "l1", "l0"))
def mim(
    steps: int = 10,
    relative_step: float = 0.1,
    decay: float = 1.0,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """Momentum iterative method: BIM along accumulated, normalised gradients.

    References: Dong et al., "Boosting Adversarial Attacks with Momentum", CVPR 2018,
        Alg. 1 (10 steps of eps / 10, decay 1).

    >>> rj.attacks.mim(steps=10, decay=0.9)
    mim(steps=10, relative_step=0.1, decay=0.9)
    """
    rule = optim.momentum(relative_step, decay)
    return projected_ascent(
        objective, rule, at_the_input, steps=steps, gradient=gradient
    )


@attack(paper="Lin et al., ICLR 2020 (NI, folded)", norms=("linf", "l2", "l1", "l0"))
def nesterov(
    steps: int = 10,
    relative_step: float = 0.1,
    decay: float = 1.0,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """BIM with Nesterov momentum, see `optim.nesterov`.

    >>> rj.attacks.nesterov(steps=20)
    nesterov(steps=20, relative_step=0.1, decay=1.0)
    """
    rule = optim.nesterov(relative_step, decay)
    return projected_ascent(
        objective, rule, at_the_input, steps=steps, gradient=gradient
    )


@attack(paper="Uesato et al., ICML 2018", norms=("linf", "l2", "l1", "l0"))
def adam_pgd(
    steps: int = 40,
    relative_step: float = 0.1,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """PGD whose step rule is Adam, see `optim.adam`.

    References: Uesato et al., "Adversarial Risk and the Dangers of Evaluating Against
        Weak Attacks", ICML 2018, Sec. 4.

    >>> rj.attacks.adam_pgd(steps=20, objective=rj.losses.objectives.margin)
    adam_pgd(steps=20, relative_step=0.1, objective=margin)
    """
    return projected_ascent(
        objective, optim.adam(relative_step), at_random, steps=steps, gradient=gradient
    )
