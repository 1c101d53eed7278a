"""Layer 3: attacks. Factories that return an `Attack` for one example."""

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
    "adam_pgd",
    "bim",
    "fgsm",
    "mim",
    "nesterov",
    "pgd",
    "projected_ascent",
    "r_fgsm",
]
