"""Layer 6: gaining robustness. Objectives and steps are pure; `fit` is host code."""

from robust_jax.train import augment, methods, perturbations, taps
from robust_jax.train.averages import bank, ema, swa
from robust_jax.train.batches import Batching
from robust_jax.train.catalog import RECIPES, recipe
from robust_jax.train.combinators import average_of, awp, mixed, sam
from robust_jax.train.cost import Cost, step_cost
from robust_jax.train.ensemble import ensemble_adversarial
from robust_jax.train.feeds import Feed, HostFeed
from robust_jax.train.fit import Stopped, Trained, fit
from robust_jax.train.free import free_adversarial
from robust_jax.train.methods import Method
from robust_jax.train.objectives import adversarial, standard
from robust_jax.train.paired import logit_pairing, mart, score, trades
from robust_jax.train.pieces import Mindful
from robust_jax.train.pool import Cut, Pool, pooled, pooled_at
from robust_jax.train.recipes import Recipe
from robust_jax.train.regularised import consistency, grad_align, helper_based, vat
from robust_jax.train.settings import (
    Ball,
    Data,
    Descent,
    Inner,
    Weights,
)
from robust_jax.train.setup import Setup, module_for, set_up
from robust_jax.train.state import Aux, Batch, Learner, TrainState, new_state
from robust_jax.train.unions import multi_steepest_descent, worst_of
from robust_jax.train.watch import Watch

__all__ = [
    "RECIPES",
    "Aux",
    "Ball",
    "Batch",
    "Batching",
    "Cost",
    "Cut",
    "Data",
    "Descent",
    "Feed",
    "HostFeed",
    "Inner",
    "Learner",
    "Method",
    "Mindful",
    "Pool",
    "Recipe",
    "Setup",
    "Stopped",
    "TrainState",
    "Trained",
    "Watch",
    "Weights",
    "adversarial",
    "augment",
    "average_of",
    "awp",
    "bank",
    "consistency",
    "ema",
    "ensemble_adversarial",
    "fit",
    "free_adversarial",
    "grad_align",
    "helper_based",
    "logit_pairing",
    "mart",
    "methods",
    "mixed",
    "module_for",
    "multi_steepest_descent",
    "new_state",
    "perturbations",
    "pooled",
    "pooled_at",
    "recipe",
    "sam",
    "score",
    "set_up",
    "standard",
    "step_cost",
    "swa",
    "taps",
    "trades",
    "vat",
    "worst_of",
]
