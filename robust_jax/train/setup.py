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
from robust_jax.train import devices, feeds, loop, watch
from robust_jax.train.batches import Batching
from robust_jax.train.precision import InBfloat16
from robust_jax.train.progress import Kept, Progress
from robust_jax.train.recipes import Recipe
from robust_jax.train.state import ApplyFn, Learner, TrainState, Variables, new_state

_SAID = 200  # Characters of what a layer said.


@dataclasses.dataclass(frozen=True)
class Setup:
    """A recipe made ready to run on one training set."""

    recipe: Recipe
    module: models.Classifier
    learner: Learner
    batching: Batching
    feed: feeds.Source
    shape: tuple[int, ...]  # *S, of an image
    run: loop.Run
    remedy: loop.Run  # the same steps with the watch's attack
    look: watch.Look
    per_epoch: int  # steps
    init_key: Key
    epochs_key: Key
    mesh: Mesh | None = None  # None: the default device

    def fresh(self) -> Kept:
        """The state before the first step."""
        variables = models.init(self.module, self.init_key, self.shape)
        keeps_best = self.recipe.weights.keep == "best"
        state = new_state(self.learner, variables)
        if self.mesh is not None:
            variables = devices.everywhere(variables, self.mesh)
            state = devices.everywhere(state, self.mesh)
        # Copies: a step on the host reuses the memory of its state.
        state = jax.tree.map(jnp.copy, state)
        return Kept(state, variables if keeps_best else None, Progress())

    def chosen(self, state: TrainState) -> Variables:
        """The weights that the recipe gives back."""
        name = self.recipe.weights.give
        return state.variables if name == "live" else state.averages[name]

    def here(self, variables: Variables) -> Variables:
        """Variables as an evaluation on this process's own devices takes them."""
        return variables if self.mesh is None else devices.here(variables)

    def stretch(self, step: int, every: int) -> loop.Stretch:
        """The steps from here up to the next look, save or end of the epoch."""
        first = step % self.per_epoch
        last = self.per_epoch
        for period in (every, self.between_looks()):
            if period:
                last = min(last, first + period - step % period)
        return loop.Stretch(first, last)

    def between_looks(self) -> int:
        """Steps between two looks of the watch; 0 without one."""
        every = self.recipe.watch.every
        return max(1, round(every * self.per_epoch)) if every else 0

    def look_key(self, step: int) -> Key:
        """The key of the watch's attack after a step."""
        key = jax.random.fold_in(self.epochs_key, OfTraining.WATCH)
        return jax.random.fold_in(key, step)


def module_for(recipe: Recipe, train: Dataset, seed: int) -> models.Classifier:
    """The net of a recipe, once recipe, examples and seed fit each other.

    Nothing is computed.
    Raises: ValueError: an unknown model or option, one that cannot take the images; a
        batch of more examples than there are; a bad seed.
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
    config: dict[str, Any] = {"num_classes": train.num_classes}
    module = models.by_name(recipe.model, **config | dict(recipe.model_config))
    shape = train.images.shape[1:]
    try:
        abstract_variables(module, shape)
    except Exception as error:  # Whatever a layer raises.
        said = " ".join(str(error).split())[:_SAID]
        raise ValueError(
            f"model={recipe.model} with {dict(recipe.model_config)} cannot take images "
            f"of shape {shape}: {type(error).__name__}: {said}"
        ) from error
    return module


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
        on_step: called after each step on the host; True ends the stretch.
        mesh: devices that share each batch; see `devices.mesh_for`.
        on_host: leave the data in the host's memory, for each step to be sent; by
            default if they take much of the device's.
    Raises: ValueError: see `module_for`; a mesh that the batch does not fit.
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
        on_host = not feeds.fits_the_device(train, extra)
    feed = feeds.HostFeed(train, extra) if on_host else _on_device(train, extra, mesh)
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
        feed,
        shape,
        run,
        remedy,
        watch.look(recipe.watch, apply_fn, threat, few.pixels(), few.labels),
        recipe.steps_per_epoch(len(train)),
        init_key,
        epochs_key,
        mesh,
    )


def _on_device(train: Dataset, extra: Dataset | None, mesh: Mesh | None) -> feeds.Feed:
    feed = feeds.Feed(train.on_device(), None if extra is None else extra.on_device())
    return feed if mesh is None else devices.everywhere(feed, mesh)
