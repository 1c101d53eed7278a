"""Where an attack's direction comes from: the gradient, averages of it, or scores.

An estimator is handed to an attack, as in `pgd(gradient=estimates.nes())`.
"""

from robust_jax.attacks.gradients import estimates
from robust_jax.attacks.gradients.estimator import (
    Climb,
    Estimate,
    Gradient,
    Query,
    exact,
    finite,
    without,
)

__all__ = [
    "Climb",
    "Estimate",
    "Gradient",
    "Query",
    "estimates",
    "exact",
    "finite",
    "without",
]
