"""APGD: projected gradient ascent with momentum and a step size that it finds itself.

Croce & Hein, "Reliable evaluation of adversarial robustness with an ensemble of
diverse parameter-free attacks", ICML 2020.
"""

from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.skeletons.auto_ascent import (
    DirectionRule,
    Project,
    auto_ascent,
    exact_projection,
    on_the_surface,
)
from robust_jax.attacks.skeletons.projected import Start
from robust_jax.attacks.skeletons.radius_schedule import Radii
from robust_jax.core.facts import Setting, attack
from robust_jax.core.types import Attack
from robust_jax.losses import objectives

_INERTIA = 0.25  # Sec. 3, Alg. 1: 1 - alpha, with alpha = 0.75.


@attack(
    paper="Croce & Hein, ICML 2020 (APGD)",
    norms=("linf", "l2"),
    settings={
        "apgd_ce": Setting(),
        "apgd_dlr": Setting({"objective": objectives.dlr}, least_classes=3),
        "apgd_t": Setting({"objective": objectives.dlr}, targets=9, least_classes=4),
    },
)
def apgd(
    objective: objectives.Objective = objectives.cross_entropy,
    steps: int = 100,
    start: Start = on_the_surface,
    project: Project = exact_projection,
    gradient: Gradient | None = None,
    radii: Radii = (1.0,),
) -> Attack:
    """Auto-PGD: no step size to choose.

    With `objectives.cross_entropy` APGD-CE, with `objectives.dlr` APGD-DLR; with
    `objectives.dlr` and goals `Towards` APGD-T, whose success is any error.
    Guarantees, edge cases: see `auto_ascent`. For Linf and L2; the other norms' steps
    move few coordinates, which `apgd_l1` is made for (it works here, but is weak).

    Args:
        objective: the quantity to climb; DLR needs 3 classes, targeted DLR 4.
        steps: moves, >= 1; the authors use 100.
        start: (key, threat, x) -> the first iterate.
        project: `threats.ball_then_clip` is what the authors' code does in L2.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
        radii: multiples of eps, the last one 1; (3.0, 2.0, 1.0) searches larger balls
            first, as L1-APGD does, which helps where gradients mislead near x.
    Raises: ValueError: if steps is not an integer >= len(radii); radii that do not end
        in 1.
    References: Croce & Hein, ICML 2020 (APGD), Alg. 1. Differs from the authors' code
        in: the projection of L2, exact here (theirs is `threats.ball_then_clip`); the
        first window compares the first step with the start (theirs compares it with
        zero); the adversarial iterate with the largest margin is returned (theirs: the
        last one); no step follows a success unless asked for; with a randomised
        gradient value and logits are means (theirs: the last sample's); `radii`, of
        which every stage begins with the first step again, from the highest point so
        far.

    >>> rj.attacks.apgd(rj.losses.objectives.dlr, steps=100)
    apgd(objective=dlr, steps=100, radii=(1.0,))
    >>> rj.attacks.apgd(steps=100, radii=(3.0, 2.0, 1.0)).steps  # 3 starts.
    103
    """
    return auto_ascent(
        objective,
        DirectionRule(lambda x: (), lambda grad, memory: (grad, memory)),
        start,
        steps=steps,
        inertia=_INERTIA,
        project=project,
        gradient=gradient,
        radii=radii,
    )
