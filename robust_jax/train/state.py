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
    """A batch of training examples on the device.

    >>> images, labels = jnp.zeros((2, 8, 8, 1)), jnp.array([3, 7])
    >>> rj.train.Batch(images, labels, jnp.arange(2)).images.shape
    (2, 8, 8, 1)
    """

    images: Array  # [B, *S] float32, pixels in [0, 1]
    labels: Array  # [B] int32
    positions: Array  # [B] int32, place in the training set
    targets: Array | None = None  # [B, K] distributions in the place of the labels
    attacked: Any = None  # what an attack found before, as in `Aux`: no new attack
    memory: Any = None  # what the objective kept at the step before, see `Learner`


class Aux(NamedTuple):
    """What an objective gives beside its loss.

    >>> sorted(rj.train.Aux(metrics={"accuracy": 0.9}, variables={}).metrics)
    ['accuracy']
    """

    metrics: dict[str, Array]  # scalars, means over the batch
    variables: Variables  # those given, with the statistics of this step
    attacked: Any = None  # what the attack found; handed back by `Batch.attacked`
    memory: Any = None  # for the next step; None leaves what there is


class TrainState(NamedTuple):
    """Everything that a training step changes.

    >>> rj.train.TrainState._fields
    ('variables', 'optimiser', 'averages', 'memory', 'step')
    """

    variables: Variables
    optimiser: optax.OptState
    averages: dict[str, Variables]  # of the variables of all steps, by name
    memory: Any  # what the objective keeps between steps, a pytree
    step: Array  # [] int32, steps done


# (variables, batch, key, step) -> (loss, aux); the loss is a mean over the batch.
Objective = Callable[[Any, Batch, Key, Array], tuple[Array, Aux]]
# (average so far, variables after the step, steps done before it) -> average
Average = Callable[[Variables, Variables, Array], Variables]


class Learner(NamedTuple):
    """What a training step does: an objective, how to descend it, what to average.

    >>> import optax
    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> learner = rj.train.Learner(rj.train.standard(apply_fn), optax.sgd(0.1))
    >>> learner.averages
    ()
    """

    objective: Objective
    optimiser: optax.GradientTransformation  # of "params" alone
    averages: tuple[tuple[str, Average], ...] = ()  # by name
    memory: Any = None  # the objective's before the first step, such as a pool


def new_state(learner: Learner, variables: Variables) -> TrainState:
    """The state before the first step; averages start at the variables.

    >>> import optax
    >>> averages = rj.train.bank((0.9,))
    >>> learner = rj.train.Learner(lambda *batch: 0, optax.sgd(0.1), averages)
    >>> state = rj.train.new_state(learner, {"params": jnp.ones(3)})
    >>> int(state.step), list(state.averages)
    (0, ['ema_0.9'])
    """
    return TrainState(
        variables,
        learner.optimiser.init(variables["params"]),
        {name: variables for name, _ in learner.averages},
        learner.memory,
        jnp.zeros((), jnp.int32),
    )
