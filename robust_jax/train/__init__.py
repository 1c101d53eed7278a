"""Training nets that are robust, and objectives for a training loop of your own.

`fit` trains by a `Recipe`: a net, an inner attack, a method such as `methods.Trades`,
an optimiser and data, each a frozen dataclass whose numbers can be changed by name.
Objectives such as `trades` are pure functions (variables, batch, key, step) -> (loss,
Aux), which combinators (`awp`, `sam`, `mixed`) take and give.
"""

from robust_jax.core import extras

extras.needed("flax", "train", "robust_jax.train")

from robust_jax.train import augment, methods, perturbations
from robust_jax.train.averages import bank, ema, swa
from robust_jax.train.batches import Batching
from robust_jax.train.catalog import RECIPES, recipe
from robust_jax.train.catastrophic_overfitting import OverfittingDetector
from robust_jax.train.combinators import average_of, awp, mixed, sam
from robust_jax.train.cost import Cost, step_cost
from robust_jax.train.data_loaders import DeviceLoader, HostLoader
from robust_jax.train.ensemble import ensemble_adversarial
from robust_jax.train.fit import Stopped, Trained, fit
from robust_jax.train.free import free_adversarial
from robust_jax.train.helpers import StatefulObjective
from robust_jax.train.methods import Method
from robust_jax.train.objectives import adversarial, standard
from robust_jax.train.own_loops import adversarial_loss
from robust_jax.train.paired import logit_pairing, mart, score, trades
from robust_jax.train.pool import Pool, SplitNet, pooled, pooled_at
from robust_jax.train.recipe_parts import Ball, Data, Descent, Inner, Weights
from robust_jax.train.recipes import Recipe
from robust_jax.train.regularised import consistency, grad_align, helper_based, vat
from robust_jax.train.setup import Setup, module_for, set_up
from robust_jax.train.several_threats import multi_steepest_descent, worst_of
from robust_jax.train.split_net import split_before
from robust_jax.train.state import Aux, Batch, Learner, TrainState, new_state

__all__ = [
    "RECIPES",
    "Aux",
    "Ball",
    "Batch",
    "Batching",
    "Cost",
    "Data",
    "Descent",
    "DeviceLoader",
    "HostLoader",
    "Inner",
    "Learner",
    "Method",
    "OverfittingDetector",
    "Pool",
    "Recipe",
    "Setup",
    "SplitNet",
    "StatefulObjective",
    "Stopped",
    "TrainState",
    "Trained",
    "Weights",
    "adversarial",
    "adversarial_loss",
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
    "split_before",
    "standard",
    "step_cost",
    "swa",
    "trades",
    "vat",
    "worst_of",
]
