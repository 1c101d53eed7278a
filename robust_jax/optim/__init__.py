"""Step rules of attacks, optax chains that know the threat; and L-BFGS in a box."""

from robust_jax.optim import lbfgsb
from robust_jax.optim.rules import Rule, adam, momentum, nesterov, steepest
from robust_jax.optim.sparse_rules import (
    l1_normalised,
    scaled,
    sparse_sign,
    sparse_unit,
)

__all__ = [
    "Rule",
    "adam",
    "l1_normalised",
    "lbfgsb",
    "momentum",
    "nesterov",
    "scaled",
    "sparse_sign",
    "sparse_unit",
    "steepest",
]
