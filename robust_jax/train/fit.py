"""Training a net by a recipe: epochs, validation, history (host)."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from robust_jax import attacks, evaluate, models, threats
from robust_jax.datasets.types import Dataset
from robust_jax.train import loop
from robust_jax.train.recipes import Recipe
from robust_jax.train.state import TrainState, Variables, new_state

_VALIDATION_STEPS = 10  # PGD steps of the robust validation accuracy
_VALIDATION_IMAGES = 500  # ... which uses at most so many images

History = dict[str, list[float | None]]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained net with what happened on the way.

    `history` has one entry per epoch: epoch, loss (nats), train_accuracy (on what the
    objective saw), validation_accuracy, robust_validation_accuracy (PGD-10 at the
    recipe's eps; None without one), seconds.
    """

    module: models.Classifier
    variables: Variables
    history: History
    seconds: float


def fit(
    recipe: Recipe,
    train: Dataset,
    validation: Dataset,
    *,
    seed: int = 0,
    on_step: Callable[[], None] = lambda: None,
    on_epoch: Callable[[dict[str, Any]], None] = lambda row: None,
) -> Trained:
    """Trains from scratch.

    Guarantees: deterministic in recipe, data and seed on one kind of machine.

    Args:
        recipe: net, attack and optimiser.
        train: examples, shape [N, *S].
        validation: examples that choose nothing; they are watched.
        seed: of weights, order and attacks.
        on_step: called after each step (on CPU; elsewhere an epoch is one program).
        on_epoch: called with the epoch's row of the history.
    Raises: ValueError: an unknown model or option; a loss that is not finite.
    """
    start = time.perf_counter()
    module = models.by_name(
        recipe.model, num_classes=train.num_classes, **dict(recipe.model_config)
    )
    init_key, epochs_key = jax.random.split(jax.random.key(seed))
    variables = models.init(module, init_key, train.images.shape[1:])
    steps_per_epoch = recipe.steps_per_epoch(len(train))
    optimiser = recipe.optimiser(steps_per_epoch)
    objective = recipe.objective(models.ApplyMode(module), steps_per_epoch)
    epoch_fn = loop.auto(objective, optimiser, recipe.batch_size, on_step)
    data, state = train.on_device(), new_state(variables, optimiser)
    history: History = {}
    for epoch in range(recipe.epochs):
        begun = time.perf_counter()
        state, metrics = epoch_fn(state, data, jax.random.fold_in(epochs_key, epoch))
        loss = float(metrics["loss"])
        if not math.isfinite(loss):  # Validation would blame the net.
            raise ValueError(
                f"the loss is {loss} after epoch {epoch + 1}; lower "
                f"learning_rate={recipe.learning_rate:g} or grow eps more slowly"
            )
        row: dict[str, Any] = {
            "epoch": epoch + 1,
            "loss": loss,
            "train_accuracy": float(metrics["accuracy"]),
            **_validated(recipe, module, state, validation),
            "seconds": time.perf_counter() - begun,
        }
        for name, value in row.items():
            history.setdefault(name, []).append(value)
        on_epoch(row)
    return Trained(module, state.variables, history, time.perf_counter() - start)


def _validated(
    recipe: Recipe, module: models.Classifier, state: TrainState, data: Dataset
) -> dict[str, float | None]:
    model = models.logits_fn(module, state.variables)
    few = data.take(np.arange(min(len(data), _VALIDATION_IMAGES)))
    threat = threats.by_name(recipe.norm)(recipe.eps)
    attack = attacks.pgd(_VALIDATION_STEPS, 2.5 / _VALIDATION_STEPS)
    plan = (evaluate.Stage("validation", attack),) if recipe.eps else ()
    report = evaluate.robustness(model, few.pixels(), few.labels, threat, plan=plan)
    robust = report.robust_accuracy.value if recipe.eps else None
    return {
        "validation_accuracy": report.clean_accuracy.value,
        "robust_validation_accuracy": robust,
    }
