"""What training carries from step to step, and the shape of its parts."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import optax

from robust_jax.core.types import Array, Key
from robust_jax.models import BatchMode

Variables = Any  # {"params": ..., optionally "batch_stats": ...}


class ApplyFn(Protocol):
    """A net as a function of its weights, such as `models.ApplyMode(module)`."""

    def __call__(
        self, variables: Any, images: Array, mode: BatchMode, key: Key | None = None
    ) -> tuple[Array, Any]:
        """Logits [*B, K] of pixels [*B, *S], and the variables with new statistics."""
        ...


class Batch(NamedTuple):
    """A batch of training examples on the device."""

    images: Array  # [B, *S] float32, pixels in [0, 1]
    labels: Array  # [B] int32
    positions: Array  # [B] int32, place in the training set
    targets: Array | None = None  # [B, K] distributions in the place of the labels
    attacked: Any = None  # what an attack found before, as in `Aux`: no new attack


class Aux(NamedTuple):
    """What an objective gives beside its loss."""

    metrics: dict[str, Array]  # scalars, means over the batch
    variables: Variables  # those given, with the statistics of this step
    attacked: Any = None  # what the attack found; handed back by `Batch.attacked`


class TrainState(NamedTuple):
    """Everything that a training step changes."""

    variables: Variables
    optimiser: optax.OptState
    step: Array  # [] int32


# (variables, batch, key, step) -> (loss, aux); the loss is a mean over the batch.
Objective = Callable[[Any, Batch, Key, Array], tuple[Array, Aux]]


def new_state(
    variables: Variables, optimiser: optax.GradientTransformation
) -> TrainState:
    """The state before the first step; the optimiser sees "params" alone."""
    zero = jnp.zeros((), jnp.int32)
    return TrainState(variables, optimiser.init(variables["params"]), zero)
