"""One training step and two ways to drive an epoch of them, with the same numbers.

`traced` compiles the whole epoch into one program: the data lie on the device and no
host is in the loop. `hosted` calls the same compiled step from the host.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from robust_jax.core import drive
from robust_jax.core.types import Array, Key
from robust_jax.datasets.types import OnDevice
from robust_jax.train.state import Batch, Objective, TrainState

Metrics = dict[str, Array]
# (state, data, key) -> (state, means over the epoch's steps)
Epoch = Callable[[TrainState, OnDevice, Key], tuple[TrainState, Metrics]]


def train_step(
    learner: Learner, state: TrainState, batch: Batch, key: Key
) -> tuple[TrainState, Metrics]:
    """One step down the gradient of the objective, taken of "params" alone.

    The other collections, such as batch statistics, are those that the objective gives;
    averages are of all collections.

    Returns: the next state and the step's metrics, scalars.
    """
    params = state.variables["params"]
    batch = batch._replace(memory=state.memory)

    def loss_of(params):
        variables = {**state.variables, "params": params}
        return learner.objective(variables, batch, key, state.step)

    (loss, aux), grads = jax.value_and_grad(loss_of, has_aux=True)(params)
    updates, optimiser_state = learner.optimiser.update(grads, state.optimiser, params)
    params = optax.apply_updates(params, updates)
    variables = {**aux.variables, "params": params}
    averages = {
        name: average(state.averages[name], variables, state.step)
        for name, average in learner.averages
    }
    memory = state.memory if aux.memory is None else aux.memory
    state = TrainState(variables, optimiser_state, averages, memory, state.step + 1)
    return state, {"loss": loss, **aux.metrics}


def epoch_order(key: Key, n: int, batch_size: int) -> Array:
    """A random order of n examples, shape [ceil(n / batch_size), batch_size].

    The last batch is filled up with the order's first examples: nothing is dropped.
    """
    order = jax.random.permutation(key, n)
    return jnp.resize(order, (-(-n // batch_size), batch_size))


def traced(
    objective: Objective, optimiser: optax.GradientTransformation, batch_size: int
) -> Epoch:
    """An epoch as one compiled program."""

    def epoch(state, data, key):
        order_key, steps_key = jax.random.split(key)

        def step(state, index):
            batch, step_key = _batch(data, index), _key(steps_key, state)
            return train_step(objective, optimiser, state, batch, step_key)

        order = epoch_order(order_key, data.labels.shape[0], batch_size)
        state, metrics = jax.lax.scan(step, state, order)
        return state, jax.tree.map(jnp.mean, metrics)

    return drive.compiled(epoch)


def hosted(
    objective: Objective,
    optimiser: optax.GradientTransformation,
    batch_size: int,
    on_step: Callable[[], None] = lambda: None,
) -> Epoch:
    """An epoch as calls of one compiled step; `on_step` runs after each."""

    @functools.partial(drive.compiled, donate_argnums=0)
    def step(state, data, index, key):
        batch, step_key = _batch(data, index), _key(key, state)
        return train_step(objective, optimiser, state, batch, step_key)

    def epoch(state, data, key):
        order_key, steps_key = jax.random.split(key)
        seen: list[Metrics] = []
        for index in epoch_order(order_key, data.labels.shape[0], batch_size):
            state, metrics = step(state, data, index, steps_key)
            seen.append(jax.block_until_ready(metrics))
            on_step()
        return state, jax.tree.map(lambda *m: jnp.mean(jnp.stack(m)), *seen)

    return epoch


def auto(
    objective: Objective,
    optimiser: optax.GradientTransformation,
    batch_size: int,
    on_step: Callable[[], None] = lambda: None,
) -> Epoch:
    """The faster of the two here: the host drives on CPU, one program elsewhere."""
    if jax.default_backend() == "cpu":
        return hosted(objective, optimiser, batch_size, on_step)
    return traced(objective, optimiser, batch_size)


def _key(key: Key, state: TrainState) -> Key:
    return jax.random.fold_in(key, state.step)


def _batch(data: OnDevice, index: Array) -> Batch:
    images, labels = data.batch(index)
    return Batch(images, labels, index)
