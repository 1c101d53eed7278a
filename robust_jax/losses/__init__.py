"""Per-example scalars of logits: losses, and the objectives that an attacker climbs."""

from robust_jax.core.margin import margin
from robust_jax.losses import objectives
from robust_jax.losses.classification import (
    boosted_cross_entropy,
    cross_entropy,
    dlr,
    jensen_shannon,
    kl_divergence,
    logit_difference,
    smoothed,
    soft_cross_entropy,
    squared_error,
    targeted_dlr,
)
from robust_jax.losses.objectives import Objective

__all__ = [
    "Objective",
    "boosted_cross_entropy",
    "cross_entropy",
    "dlr",
    "jensen_shannon",
    "kl_divergence",
    "logit_difference",
    "margin",
    "objectives",
    "smoothed",
    "soft_cross_entropy",
    "squared_error",
    "targeted_dlr",
]
