"""Layer 6: gaining robustness. Objectives and steps are pure; `fit` is host code."""

from robust_jax.train.catalog import RECIPES, recipe
from robust_jax.train.fit import Trained, fit
from robust_jax.train.objectives import adversarial, standard
from robust_jax.train.recipes import Recipe
from robust_jax.train.state import Aux, Batch, TrainState, new_state

__all__ = [
    "RECIPES",
    "Aux",
    "Batch",
    "Recipe",
    "TrainState",
    "Trained",
    "adversarial",
    "fit",
    "new_state",
    "recipe",
    "standard",
]
