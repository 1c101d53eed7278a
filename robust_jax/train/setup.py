"""What stays the same through a training run: the net, its data, compiled programs."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from robust_jax import models
from robust_jax.core import checks
from robust_jax.core.streams import OfTraining
from robust_jax.core.types import Key, LogitsFn
from robust_jax.datasets.types import Dataset
from robust_jax.models.functional import abstract_variables
from robust_jax.models.user_nets import user_net
from robust_jax.train import devices, loop
from robust_jax.train.batches import Batching
from robust_jax.train.catastrophic_overfitting import PgdAccuracy, pgd_accuracy
from robust_jax.train.data_loaders import (
    DataLoader,
    DeviceLoader,
    HostLoader,
    fits_the_device,
)
from robust_jax.train.precision import InBfloat16
from robust_jax.train.recipes import Recipe
from robust_jax.train.run_state import RunState, TrainingProgress
from robust_jax.train.state import ApplyFn, Learner, TrainState, Variables, new_state

_SAID = 200  # Characters of what a layer said.


@dataclasses.dataclass(frozen=True)
class Setup:
    """A recipe made ready to run on one training set.

    >>> [field for field in rj.train.Setup.__dataclass_fields__][:4]
    ['recipe', 'module', 'learner', 'batching']
    """

    recipe: Recipe
    module: models.Classifier
    learner: Learner
    batching: Batching
    loader: DataLoader
    shape: tuple[int, ...]  # *S, of an image
    run: loop.Run
    remedy: loop.Run  # the same steps under PGD, after a collapse
    pgd_accuracy: PgdAccuracy
    per_epoch: int  # steps
    init_key: Key
    epochs_key: Key
    mesh: Mesh | None = None  # None: the default device

    def fresh(self) -> RunState:
        """The state before the first step."""
        variables = models.init(self.module, self.init_key, self.shape)
        keeps_best = self.recipe.weights.keep == "best"
        state = new_state(self.learner, variables)
        variables, state = devices.replicate((variables, state), self.mesh)
        # Copies: a step on the host reuses the memory of its state.
        state = jax.tree.map(jnp.copy, state)
        return RunState(state, variables if keeps_best else None, TrainingProgress())

    def chosen(self, state: TrainState) -> Variables:
        """The weights that the recipe gives back."""
        name = self.recipe.weights.give
        return state.variables if name == "live" else state.averages[name]

    def local_copy(self, variables: Variables) -> Variables:
        """Variables as an evaluation on this process's own devices takes them."""
        return variables if self.mesh is None else devices.local_copy(variables)

    def step_range(self, step: int, every: int) -> loop.StepRange:
        """The steps from here up to the next check, save or end of the epoch."""
        first = step % self.per_epoch
        last = self.per_epoch
        for period in (every, self.steps_between_checks()):
            if period:
                last = min(last, first + period - step % period)
        return loop.StepRange(first, last)

    def steps_between_checks(self) -> int:
        """Steps between two checks for catastrophic overfitting; 0 without any."""
        every = self.recipe.watch.every
        return max(1, round(every * self.per_epoch)) if every else 0

    def check_key(self, step: int) -> Key:
        """The key of the check after a step."""
        key = jax.random.fold_in(self.epochs_key, OfTraining.WATCH)
        return jax.random.fold_in(key, step)


def module_for(recipe: Recipe, train: Dataset, seed: int) -> models.Classifier:
    """The net of a recipe, once recipe, examples and seed fit each other.

    Nothing is computed.
    Raises: ValueError: an unknown model or option, one that cannot take the images; a
        batch of more examples than there are; a bad seed.

    >>> images, labels = np.zeros((8, 2, 2, 1), np.uint8), np.arange(8, dtype=np.int32)
    >>> ids = np.arange(8, dtype=np.uint64)
    >>> data = rj.datasets.Dataset("mine", "train", images, labels, ids, 8, scale=255)
    >>> changes = {"model": "mlp", "data.batch_size": 4, "epochs": 1}
    >>> recipe = rj.train.recipe("digits", changes)
    >>> type(rj.train.module_for(recipe, data, seed=0)).__name__
    'MLP'
    """
    checks.seed(seed)
    checks.instance("recipe", recipe, Recipe, "a train.Recipe")
    checks.instance("train", train, Dataset, "a datasets.Dataset")
    size = recipe.data.batch_size
    if size > len(train):
        raise ValueError(
            f"data.batch_size={size} with {len(train):,} training examples; expected "
            "no more than there are"
        )
    shape = train.images.shape[1:]
    module = _made(recipe, train.num_classes, shape)
    try:
        abstract_variables(module, shape)
    except Exception as error:  # Whatever a layer raises.
        said = " ".join(str(error).split())[:_SAID]
        raise ValueError(
            f"model={recipe.model} with {dict(recipe.model_config)} cannot take images "
            f"of shape {shape}: {type(error).__name__}: {said}"
        ) from error
    return module


def _made(recipe: Recipe, num_classes: int, shape: tuple[int, ...]) -> Any:
    """The net of a name, or of a user's factory "package.module:name"."""
    config = dict(recipe.model_config)
    if ":" in recipe.model:
        return user_net(recipe.model, config, num_classes, shape)
    return models.by_name(recipe.model, **{"num_classes": num_classes} | config)


def set_up(
    recipe: Recipe,
    train: Dataset,
    seed: int = 0,
    *,
    extra: Dataset | None = None,
    teachers: tuple[LogitsFn, ...] = (),
    on_step: Callable[[], bool] = lambda: False,
    mesh: Mesh | None = None,
    on_host: bool | None = None,
) -> Setup:
    """A recipe made ready; nothing is computed yet.

    Args:
        recipe: net, attack and optimiser.
        train: examples, shape [N, *S].
        seed: of weights, order and attacks.
        extra: more examples, of which each batch takes `data.extra_share`.
        teachers: trained nets, one for each of the recipe's.
        on_step: called after each step on the host; True ends the range of steps.
        mesh: devices that share each batch; see `devices.mesh_for`.
        on_host: leave the data in the host's memory, for each step to be sent; by
            default if they take much of the device's.
    Raises: ValueError: see `module_for`; a mesh that the batch does not fit.

    >>> images, labels = np.zeros((8, 2, 2, 1), np.uint8), np.arange(8, dtype=np.int32)
    >>> ids = np.arange(8, dtype=np.uint64)
    >>> data = rj.datasets.Dataset("mine", "train", images, labels, ids, 8, scale=255)
    >>> changes = {"model": "mlp", "data.batch_size": 4, "epochs": 1}
    >>> recipe = rj.train.recipe("digits", changes)
    >>> rj.train.set_up(recipe, data).per_epoch
    2
    """
    module = module_for(recipe, train, seed)
    apply_fn: ApplyFn = models.ApplyMode(module)
    if recipe.precision == "bfloat16":
        apply_fn = InBfloat16(apply_fn)
    batching = recipe.batching(train.num_classes)
    mesh = devices.mesh_for(batching.batch_size, mesh)
    shape = train.images.shape[1:]
    learners = [
        each.learner(apply_fn, len(train), shape, teachers=teachers)
        for each in (recipe, recipe.remedy())
    ]
    if on_host is None:
        on_host = not fits_the_device(train, extra)
    loader = HostLoader(train, extra) if on_host else _on_device(train, extra, mesh)
    run, remedy = (
        loop.auto(each, batching, on_step, mesh, on_host) for each in learners
    )
    few = train.take(np.arange(min(len(train), recipe.watch.images)))
    threat = recipe.ball.threat_fn()(jnp.int32(0))
    init_key, epochs_key = jax.random.split(jax.random.key(seed))
    return Setup(
        recipe,
        module,
        learners[0],
        batching,
        loader,
        shape,
        run,
        remedy,
        pgd_accuracy(recipe.watch, apply_fn, threat, few.pixels(), few.labels),
        recipe.steps_per_epoch(len(train)),
        init_key,
        epochs_key,
        mesh,
    )


def _on_device(
    train: Dataset, extra: Dataset | None, mesh: Mesh | None
) -> DeviceLoader:
    loader = DeviceLoader(
        train.on_device(), None if extra is None else extra.on_device()
    )
    return devices.replicate(loader, mesh)
