"""Per-example scalars of logits: losses, and the objectives that an attacker climbs."""

from robust_jax.core.margin import margin
from robust_jax.losses import objectives
from robust_jax.losses.classification import (
    cross_entropy,
    dlr,
    kl_divergence,
    logit_difference,
    targeted_dlr,
)
from robust_jax.losses.objectives import Objective

__all__ = [
    "Objective",
    "cross_entropy",
    "dlr",
    "kl_divergence",
    "logit_difference",
    "margin",
    "objectives",
    "targeted_dlr",
]
