"""Transfer attacks: the papers' presets.

A preset is `pgd.mim`, the momentum iterative method, with an estimator of
`gradients.transforms` or `gradients.stateful`. Their `gradient` is the estimator that
is wrapped, so that papers' combinations are nestings: SI-NI-TI-DIM is
`ni_fgsm(gradient=translation_invariance(inner=scale_invariance(inner=input_diversity())))`.
"""

from robust_jax.attacks.ascent.pgd import mim
from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.gradients.stateful import (
    lookahead,
    nesterov_variance_tuning,
    variance_tuning,
)
from robust_jax.attacks.gradients.transforms import (
    input_diversity,
    scale_invariance,
    translation_invariance,
)
from robust_jax.core.facts import attack
from robust_jax.core.types import Attack
from robust_jax.losses import objectives


@attack(paper="Xie et al., CVPR 2019", norms=("linf", "l2"), per_step=(2, 1))
def di_fgsm(
    steps: int = 10,
    relative_step: float = 0.1,
    decay: float = 1.0,
    probability: float = 0.5,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """MIM with input diversity, the paper's M-DI2-FGSM; decay = 0 is DI2-FGSM.

    References: Xie et al., CVPR 2019, see `transforms.input_diversity`.

    >>> rj.attacks.di_fgsm(steps=10, probability=0.7)
    di_fgsm(steps=10, relative_step=0.1, decay=1.0, probability=0.7)
    """
    estimator = input_diversity(probability, inner=gradient)
    return mim(steps, relative_step, decay, objective, estimator)


@attack("kernel_size", paper="Dong et al., CVPR 2019", norms=("linf", "l2"))
def ti_fgsm(
    steps: int = 10,
    relative_step: float = 0.1,
    decay: float = 1.0,
    kernel_size: int = 15,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """MIM with smoothed gradients, the paper's TI-MI-FGSM; decay = 0 is TI-BIM.

    References: Dong et al., CVPR 2019, see `transforms.translation_invariance`.

    >>> rj.attacks.ti_fgsm(steps=10, kernel_size=7)
    ti_fgsm(steps=10, relative_step=0.1, decay=1.0, kernel_size=7)
    """
    estimator = translation_invariance(kernel_size, gradient)
    return mim(steps, relative_step, decay, objective, estimator)


@attack(paper="Lin et al., ICLR 2020", norms=("linf", "l2"), per_step=(2, 1))
def ni_fgsm(
    steps: int = 10,
    relative_step: float = 0.1,
    decay: float = 1.0,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """MIM with gradients at the look-ahead point, NI-FGSM.

    References: Lin et al., ICLR 2020, see `lookahead`.

    >>> rj.attacks.ni_fgsm(steps=10, gradient=rj.attacks.input_diversity())
    ni_fgsm(steps=10, relative_step=0.1, decay=1.0,
    gradient=input_diversity(probability=0.5, lowest_share=0.906))
    """
    estimator = lookahead(relative_step, decay, gradient)
    return mim(steps, relative_step, decay, objective, estimator)


@attack("copies", paper="Lin et al., ICLR 2020", norms=("linf", "l2"), per_step=(6, 5))
def si_ni_fgsm(
    steps: int = 10,
    relative_step: float = 0.1,
    decay: float = 1.0,
    copies: int = 5,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """NI-FGSM with the mean gradient over scales of the look-ahead point, SI-NI-FGSM.

    References: Lin et al., ICLR 2020, Alg. 1, see `transforms.scale_invariance`.

    >>> rj.attacks.si_ni_fgsm(steps=10, copies=3)
    si_ni_fgsm(steps=10, relative_step=0.1, decay=1.0, copies=3)
    """
    scaled = scale_invariance(copies, gradient)
    return ni_fgsm(steps, relative_step, decay, objective, scaled)


@attack(
    "samples", paper="Wang & He, CVPR 2021", norms=("linf", "l2"), per_step=(21, 21)
)
def vmi_fgsm(
    steps: int = 10,
    relative_step: float = 0.1,
    decay: float = 1.0,
    samples: int = 20,
    relative_radius: float = 1.5,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """MIM with variance-tuned gradients, VMI-FGSM.

    References: Wang & He, CVPR 2021, Alg. 1, see `variance_tuning`.

    >>> rj.attacks.vmi_fgsm(steps=10, samples=5)
    vmi_fgsm(steps=10, relative_step=0.1, decay=1.0, samples=5, relative_radius=1.5)
    """
    estimator = variance_tuning(samples, relative_radius, gradient)
    return mim(steps, relative_step, decay, objective, estimator)


@attack(
    "samples", paper="Wang & He, CVPR 2021", norms=("linf", "l2"), per_step=(22, 21)
)
def vni_fgsm(
    steps: int = 10,
    relative_step: float = 0.1,
    decay: float = 1.0,
    samples: int = 20,
    relative_radius: float = 1.5,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """NI-FGSM with variance-tuned gradients, VNI-FGSM.

    References: Wang & He, CVPR 2021, see `nesterov_variance_tuning`.

    >>> rj.attacks.vni_fgsm(steps=10, samples=5)
    vni_fgsm(steps=10, relative_step=0.1, decay=1.0, samples=5, relative_radius=1.5)
    """
    estimator = nesterov_variance_tuning(
        samples, relative_radius, relative_step, decay, gradient
    )
    return mim(steps, relative_step, decay, objective, estimator)
