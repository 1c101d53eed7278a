"""What training carries from step to step, and the shape of its parts."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from robust_jax.core.types import Array, Key

Variables = Any
ApplyFn = Callable[[Variables, Array], Array]  # [*B, *S] pixels -> [*B, K] logits


class Batch(NamedTuple):
    """A batch of training examples on the device."""

    images: Array  # [B, *S] float32, pixels in [0, 1]
    labels: Array  # [B] int32
    positions: Array  # [B] int32, place in the training set


class TrainState(NamedTuple):
    """Everything that a training step changes."""

    variables: Variables
    optimiser: optax.OptState
    step: Array  # [] int32


# (variables, batch, key, step) -> (loss, metrics): scalars, means over the batch.
Objective = Callable[[Variables, Batch, Key, Array], tuple[Array, dict[str, jax.Array]]]


def new_state(
    variables: Variables, optimiser: optax.GradientTransformation
) -> TrainState:
    """The state before the first step."""
    return TrainState(
        variables, optimiser.init(variables), jax.numpy.zeros((), jax.numpy.int32)
    )
