"""One training step and two ways to drive many of them, with the same numbers.

`traced` compiles a range of steps into one program: the data lie on the device and no
host is in the loop. `hosted` calls the same compiled step from the host.
"""

import contextlib
import ctypes
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from robust_jax.core import compiling
from robust_jax.core.types import Array, Key
from robust_jax.train import devices
from robust_jax.train.batches import Batching
from robust_jax.train.data_loaders import DataLoader
from robust_jax.train.state import Batch, Learner, TrainState

Metrics = dict[str, Array]


class StepRange(NamedTuple):
    """Steps of one epoch, from `first` on, up to `last`."""

    first: int
    last: int


class Run(Protocol):
    """Steps of one epoch."""

    def __call__(
        self,
        state: TrainState,
        loader: DataLoader,
        key: Key,
        at: StepRange | None = None,
    ) -> tuple[TrainState, dict[str, Any]]:
        """The state after a range of steps, by default the whole epoch.

        Args:
            state: before it; a run on the host reuses its memory.
            loader: the data.
            key: the epoch's.
            at: the steps, counted from the epoch's first.
        Returns: the state, and the metrics of each step, NumPy arrays [steps].
        """
        ...


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


def traced(
    learner: Learner,
    batching: Batching,
    on_step: Callable[[], bool] = lambda: False,
    mesh: Mesh | None = None,
) -> Run:
    """Ranges of steps as compiled programs, one for each length.

    `on_step` runs for all steps at the end of a range. With a mesh the batch is split
    over its devices; state and loader lie everywhere.
    """

    @functools.partial(compiling.compiled, static_argnames="steps")
    def steps_of(state, loader, key, first, steps):
        order_key, steps_key = jax.random.split(key)

        def step(state, positions):
            return _step(learner, batching, mesh, state, loader, positions, steps_key)

        order = batching.order(order_key, *loader.sizes())
        rows = jax.lax.dynamic_slice_in_dim(order, first, steps)
        return devices.constrain_replicated(jax.lax.scan(step, state, rows), mesh)

    def run(state, loader, key, at=None):
        at = at or StepRange(0, batching.steps_per_epoch(loader.sizes()[0]))
        state, metrics = steps_of(state, loader, key, at.first, at.last - at.first)
        metrics = jax.tree.map(np.asarray, metrics)  # Once all steps are done.
        for _ in range(at.first, at.last):
            on_step()
        return state, metrics

    return run


def hosted(
    learner: Learner,
    batching: Batching,
    on_step: Callable[[], bool] = lambda: False,
    mesh: Mesh | None = None,
) -> Run:
    """Ranges of steps as calls of one compiled step.

    `on_step` runs after each step; the range ends early once it gives True. With a
    mesh the batch is split over its devices; state and loader lie everywhere.
    """

    @functools.partial(compiling.compiled, donate_argnums=0)
    def step(state, examples, positions, key):
        after = _step(learner, batching, mesh, state, examples, positions, key)
        return devices.constrain_replicated(after, mesh)

    order_of = compiling.compiled(batching.order, static_argnums=(1, 2))

    def run(state, loader, key, at=None):
        order_key, steps_key = jax.random.split(key)
        order = np.asarray(order_of(order_key, *loader.sizes()))
        order = order[slice(*at or (None,))]
        seen: list[Metrics] = []
        for examples, positions in loader.steps(order, batching.own(), mesh):
            state, metrics = step(state, examples, positions, steps_key)
            seen.append(jax.device_get(metrics))
            if len(seen) == 1:
                give_back_memory()
            if on_step():
                break
        return state, jax.tree.map(lambda *each: np.stack(each), *seen)

    return run


def auto(
    learner: Learner,
    batching: Batching,
    on_step: Callable[[], bool] = lambda: False,
    mesh: Mesh | None = None,
    on_host: bool = False,
) -> Run:
    """The faster of the two here: the host drives on CPU, one program elsewhere.

    Data that stay on the host need the first.
    """
    driver = hosted if on_host or jax.default_backend() == "cpu" else traced
    return driver(learner, batching, on_step, mesh)


def give_back_memory() -> None:
    """Returns memory that a compilation freed to the system; glibc would keep it.

    After a first step of PGD-10 that is 200 MiB with SmallCNN, 460 with a ResNet-18.
    """
    with contextlib.suppress(OSError, AttributeError):  # Another C library.
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _step(learner, batching, mesh, state, examples, positions, key):
    key = jax.random.fold_in(key, state.step)
    batch = batching.batch(examples, positions, key)
    return train_step(learner, state, devices.constrain_sharded(batch, mesh), key)
