"""Layer 3: attacks. Factories that return an `Attack` for one example."""

from robust_jax.attacks.acg import acg
from robust_jax.attacks.apgd import apgd
from robust_jax.attacks.compose import (
    over_targets,
    restarts,
    strongest_of,
    then_if_failed,
)
from robust_jax.attacks.projected import (
    adam_pgd,
    bim,
    fgsm,
    mim,
    nesterov,
    pgd,
    projected_ascent,
    r_fgsm,
)

__all__ = [
    "acg",
    "adam_pgd",
    "apgd",
    "bim",
    "fgsm",
    "mim",
    "nesterov",
    "over_targets",
    "pgd",
    "projected_ascent",
    "r_fgsm",
    "restarts",
    "strongest_of",
    "then_if_failed",
]
