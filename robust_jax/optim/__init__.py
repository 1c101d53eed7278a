"""Step rules of attacks: optax chains that know the threat."""

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
    "momentum",
    "nesterov",
    "scaled",
    "sparse_sign",
    "sparse_unit",
    "steepest",
]
