"""Robust accuracy on validation examples, by a short plan that predicts AutoAttack."""

import numpy as np

from robust_jax import attacks, evaluate, threats
from robust_jax.core import lift
from robust_jax.core.metrics import Proportion
from robust_jax.core.types import LogitsFn
from robust_jax.datasets.types import Dataset
from robust_jax.evaluate.examples import checked
from robust_jax.losses import objectives
from robust_jax.train.recipe_parts import Ball

_STEPS = 20  # of each APGD
IMAGES = 500  # at most so many are attacked


def quick(norm: str, num_classes: int) -> evaluate.Plan:
    """APGD on the cross entropy, and towards the likeliest class, 20 steps each.

    The targeted one shows what hides from cross entropy, such as MART's nets. In L0,
    for patches and with few classes the nearest substitutes.

    Args:
        norm: "linf", "l2", "l1", "l0" or "patch".
        num_classes: K, >= 2.
    """
    targeted = objectives.dlr if num_classes >= 4 else objectives.margin
    if norm == "l0":
        return (evaluate.Stage("pgd-l0", attacks.pgd_l0(steps=_STEPS)),)
    if norm == "patch":
        return (evaluate.Stage("pgd", attacks.pgd(steps=_STEPS)),)
    apgd = attacks.apgd_l1 if norm == "l1" else attacks.apgd
    return (
        evaluate.Stage("apgd-ce", apgd(objectives.cross_entropy, _STEPS)),
        evaluate.Stage("apgd-t", apgd(targeted, _STEPS), evaluate.likeliest_targets(1)),
    )


def validated(
    logits_fn: LogitsFn, ball: Ball, data: Dataset | None
) -> dict[str, float | None]:
    """Clean and robust accuracy of a net on the first `IMAGES` examples.

    Returns: validation_accuracy and robust_validation_accuracy, shares; both are None
        without data, and the second one without a radius.
    """
    clean, robust = "validation_accuracy", "robust_validation_accuracy"
    if data is None:
        return {clean: None, robust: None}
    few = data.take(np.arange(min(len(data), IMAGES)))
    threat = threats.by_name(ball.norm)(ball.eps)
    given = logits_fn, few.pixels(), few.labels, threat
    if not ball.eps:  # Nothing is attacked.
        right = checked(*given, few.ids, 0, lift.TILE)[1].right
        share = Proportion(int(right.sum()), len(right)).value
        return {clean: share, robust: None}
    plan = quick(ball.norm, data.num_classes)
    report = evaluate.robustness(
        *given, plan=plan, ids=few.ids, audit=False, progress=False
    )
    shares = report.clean_accuracy.value, report.robust_accuracy.value
    return dict(zip((clean, robust), shares, strict=True))
