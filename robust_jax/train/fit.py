"""Training a net by a recipe: epochs, validation, history (host)."""

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from robust_jax import models
from robust_jax.core import exports
from robust_jax.datasets.types import Dataset
from robust_jax.train import catalog, validation as validations
from robust_jax.train.progress import Identity, Keeper, Kept, Nowhere, Row
from robust_jax.train.recipes import Recipe
from robust_jax.train.setup import Setup, set_up
from robust_jax.train.state import Variables

History = dict[str, list[float | int | None]]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained net with what happened on the way.

    `history` has one entry per epoch: epoch, loss (nats) and the objective's other
    metrics, such as train_accuracy (on what it saw), validation_accuracy,
    robust_validation_accuracy (`validation.quick` at the recipe's eps; None without
    one), seconds. `averages` are all weights that there are, "live" among them.
    """

    module: models.Classifier
    variables: Variables  # those that the recipe gives back
    averages: dict[str, Variables]  # after the last epoch
    history: History
    seconds: float  # of this and earlier sittings
    best_epoch: int | None = None  # of the variables, if the recipe keeps the best
    healing_since: int | None = None  # the step of a collapse that the watch saw


class Stopped(Exception):
    """Training was asked to stop, and its state is saved."""


def fit(
    recipe: Recipe,
    train: Dataset,
    validation: Dataset,
    *,
    seed: int = 0,
    extra: Dataset | None = None,
    keeper: Keeper | None = None,
    mesh: Mesh | None = None,
    on_host: bool | None = None,
    on_start: Callable[[int], None] = lambda steps: None,
    on_step: Callable[[], None] = lambda: None,
    on_epoch: Callable[[Row], None] = lambda row: None,
) -> Trained:
    """Trains from scratch, or on from where the keeper has it.

    Guarantees: deterministic in recipe, data and seed on one kind of machine; a run
    that was interrupted and goes on equals one that was not, bit for bit.

    Args:
        recipe: net, attack and optimiser.
        train: examples, shape [N, *S].
        validation: examples that are watched; they choose the epoch if the recipe
            keeps the best, and nothing else.
        seed: of weights, order and attacks.
        extra: more examples, of which each batch takes `data.extra_share`.
        keeper: where the state is saved; nowhere by default.
        mesh: devices that share each batch; see `set_up`.
        on_host: where the data stay; see `set_up`.
        on_start: called once with the steps that earlier sittings did.
        on_step: called after each step, or for many that were one program.
        on_epoch: called with the epoch's row of the history.
    Raises: ValueError: an unknown model or option; a loss that is not finite.
        Stopped: the keeper was asked to stop.
    """
    keeper = keeper or Nowhere()

    def stepped() -> bool:
        on_step()
        return keeper.is_asked_to_stop()

    nets = [
        fit(
            catalog.recipe(name),
            train,
            validation,
            seed=seed,
            keeper=keeper.within(name),
            mesh=mesh,
        )
        for name in recipe.teachers
    ]
    teachers = tuple(models.logits_fn(net.module, net.variables) for net in nets)
    setup = set_up(
        recipe,
        train,
        seed,
        extra=extra,
        teachers=teachers,
        on_step=stepped,
        mesh=mesh,
        on_host=on_host,
    )
    named = {"train": train, "validation": validation, "extra": extra}
    kept = setup.fresh()
    kept = keeper.restore(kept, _identity(recipe, seed, named)) or kept
    on_start(int(kept.state.step))
    while kept.progress.epoch < recipe.epochs:
        begun = time.perf_counter()
        kept = _advanced(setup, kept, keeper)
        if len(kept.progress.steps) == setup.per_epoch:
            kept = _epoch_over(setup, kept, validation, begun)
            on_epoch(kept.progress.history[-1])
        else:
            kept.progress.seconds += time.perf_counter() - begun
        _keep(setup, kept, keeper)
    return _trained(setup, kept)


def _advanced(setup: Setup, kept: Kept, keeper: Keeper) -> Kept:
    """After one stretch of steps, and the watch's look if it is due."""
    progress, step = kept.progress, int(kept.state.step)
    run = setup.run if progress.healing_since is None else setup.remedy
    key = jax.random.fold_in(setup.epochs_key, progress.epoch)
    at = setup.stretch(step, keeper.every)
    state, metrics = run(kept.state, setup.feed, key, at)
    count = len(metrics["loss"])
    finite = np.isfinite(metrics["loss"])
    if not finite.all():
        raise ValueError(_diverged(setup, step + int(np.argmin(finite)) + 1, keeper))
    names = sorted(metrics)
    progress.steps += [{n: float(metrics[n][i]) for n in names} for i in range(count)]
    kept, step = kept._replace(state=state), step + count
    between = setup.between_looks()
    if between and step % between == 0 and progress.healing_since is None:
        _look(setup, kept, step)
    return kept


def _look(setup: Setup, kept: Kept, step: int) -> None:
    now = float(setup.look(setup.here(kept.state.variables), setup.look_key(step)))
    own = kept.progress.means().get("accuracy", 0.0)
    if kept.progress.epoch < setup.recipe.ball.growth_epochs:
        own = 0.0  # Of a smaller radius.
    if setup.recipe.watch.collapsed(now, kept.progress.best_seen, own):
        kept.progress.healing_since = step
    kept.progress.best_seen = max(kept.progress.best_seen, now)


def _epoch_over(setup: Setup, kept: Kept, validation: Dataset, begun: float) -> Kept:
    progress, weights = kept.progress, setup.chosen(kept.state)
    logits_fn, recipe = (
        models.logits_fn(setup.module, setup.here(weights)),
        setup.recipe,
    )
    means, epoch = progress.means(), progress.epoch + 1
    is_due = epoch % recipe.validate_every == 0 or epoch == recipe.epochs
    row: Row = {
        "epoch": epoch,
        "loss": means.pop("loss"),
        **{f"train_{name}": value for name, value in means.items()},
        **validations.validated(logits_fn, recipe.ball, validation if is_due else None),
        "seconds": progress.seconds + time.perf_counter() - begun,
    }
    progress.history.append(row)
    progress.steps, progress.seconds = [], 0.0
    if kept.best is None:
        return kept
    score = row["robust_validation_accuracy"]
    score = row["validation_accuracy"] if score is None else score
    if score is None or score <= progress.best:
        return kept
    progress.best, progress.best_epoch = score, progress.epoch
    return kept._replace(best=jax.tree.map(jnp.copy, weights))


def _keep(setup: Setup, kept: Kept, keeper: Keeper) -> None:
    """Saves if it is time, and stops if that was asked for."""
    step = int(kept.state.step)
    over = kept.progress.epoch == setup.recipe.epochs
    asked = keeper.is_asked_to_stop() and not over
    if over or asked or (keeper.every and step % keeper.every == 0):
        if not _is_finite(kept.state.variables):  # The next loss would tell.
            raise ValueError(_diverged(setup, step, keeper))
        keeper.save(kept, wait=over or asked)
    if asked:
        where = keeper.newest() or "nowhere: no keeper was given"
        raise Stopped(f"stopped after step {step}; the state is in {where}")


def _is_finite(variables: Variables) -> bool:
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(variables))


def _diverged(setup: Setup, step: int, keeper: Keeper) -> str:
    good, rate = keeper.newest(), setup.recipe.descent.rate
    return (
        f"training has diverged: not finite at step {step}; lower "
        f"descent.rate={rate:g} or let the radius grow (ball.growth_epochs); the last "
        f"good checkpoint is {good or 'none'}"
    )


def _trained(setup: Setup, kept: Kept) -> Trained:
    progress = kept.progress
    history: dict[str, list[Any]] = {}
    for row in progress.history:
        for name, value in row.items():
            history.setdefault(name, []).append(value)
    chosen = setup.chosen(kept.state) if kept.best is None else kept.best
    return Trained(
        setup.module,
        setup.here(chosen),
        setup.here({"live": kept.state.variables, **kept.state.averages}),
        history,
        math.fsum(history["seconds"]),
        None if kept.best is None else progress.best_epoch,
        progress.healing_since,
    )


def _identity(recipe: Recipe, seed: int, named: dict[str, Dataset | None]) -> Identity:
    fields = {f"recipe.{path}": value for path, value in recipe.fields().items()}
    del fields["recipe.source"]  # A citation may be reworded.
    identity: Identity = {**fields, "seed": seed}
    for part, data in named.items():
        if data is not None:
            identity[part] = f"{data.name}, n = {len(data)}, sha256 {_digest(data)}"
    settings = {name: str(getattr(jax.config, name)) for name in exports.SETTINGS}
    return {**identity, **settings}


def _digest(data: Dataset) -> str:
    """Of the examples in their order: what a draw of a position gives."""
    total = hashlib.sha256(f"{data.num_classes} {data.scale}".encode())
    for column in (data.images, data.labels, data.ids):
        total.update(np.ascontiguousarray(column).data)
    return total.hexdigest()
