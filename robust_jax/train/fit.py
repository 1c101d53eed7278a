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
from robust_jax.core import checks, exports
from robust_jax.core.brief import brief, brief_html
from robust_jax.datasets.types import Dataset
from robust_jax.models.user_nets import identity_of
from robust_jax.report.progress import of_a_call
from robust_jax.train import catalog, validation as validations
from robust_jax.train.recipes import Recipe
from robust_jax.train.run_state import (
    Checkpointer,
    EpochMetrics,
    Identity,
    NullCheckpointer,
    RunState,
)
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

    >>> trained = rj.train.Trained(None, {}, {}, {"epoch": [1], "loss": [2.3]}, 0.1)
    >>> trained.history["loss"][-1]
    2.3
    """

    module: models.Classifier
    variables: Variables  # those that the recipe gives back
    averages: dict[str, Variables]  # after the last epoch
    history: History
    seconds: float  # of this process and those that it goes on from
    best_epoch: int | None = None  # of the variables, if the recipe keeps the best
    collapsed_at: int | None = None  # the step at which a collapse was detected

    __repr__ = brief
    _repr_html_ = brief_html


class Stopped(Exception):
    """Training was asked to stop, and its state is saved.

    >>> issubclass(rj.train.Stopped, Exception)
    True
    """


def fit(
    recipe: Recipe,
    train: Dataset,
    validation: Dataset,
    *,
    seed: int = 0,
    extra: Dataset | None = None,
    checkpointer: Checkpointer | None = None,
    mesh: Mesh | None = None,
    on_host: bool | None = None,
    on_start: Callable[[int], None] = lambda steps: None,
    on_step: Callable[[], None] = lambda: None,
    on_epoch: Callable[[EpochMetrics], None] = lambda row: None,
    progress: bool | None = None,
) -> Trained:
    """Trains from scratch, or on from the newest checkpoint.

    Guarantees: deterministic in recipe, data and seed on one kind of machine; a run
    that was interrupted and goes on equals one that was not, bit for bit.

    Args:
        recipe: net, attack and optimiser.
        train: examples, shape [N, *S].
        validation: examples that are evaluated; they choose the epoch if the recipe
            keeps the best, and nothing else.
        seed: of weights, order and attacks.
        extra: more examples, of which each batch takes `data.extra_share`.
        checkpointer: saves the state; by default nothing is saved.
        mesh: devices that share each batch; see `set_up`.
        on_host: where the data stay; see `set_up`.
        on_start: called once with the steps done by earlier processes.
        on_step: called after each step, or for many that were one program.
        on_epoch: called with the epoch's row of the history.
        progress: whether a bar shows how far it is; by default on a terminal, unless
            the caller has one there.
    Raises: ValueError: an unknown model or option; a loss that is not finite.
        Stopped: the checkpointer was asked to stop.

    >>> parts = [rj.datasets.load("digits", name) for name in ("train", "validation")]
    >>> rj.train.fit(rj.train.recipe("pgd_digits"), *parts, seed=-1)  # 0: a minute.
    Traceback (most recent call last):
    ValueError: seed=-1; expected an integer from 0 to 2**32 - 1
    """
    checks.optional_flag("progress", progress)
    checkpointer = checkpointer or NullCheckpointer()

    def stepped() -> bool:
        on_step()
        bar.update()
        return checkpointer.is_asked_to_stop()

    how: dict[str, Any] = {"seed": seed, "mesh": mesh, "progress": progress}
    nets = [
        fit(
            catalog.recipe(name),
            train,
            validation,
            checkpointer=checkpointer.within(name),
            **how,
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
    run = setup.fresh()
    of_net = identity_of(setup.module, setup.shape)
    identity = _identity(recipe, seed, named) | of_net
    run = checkpointer.restore(run, identity) or run
    on_start(int(run.state.step))
    with of_a_call(recipe.epochs * setup.per_epoch, "train", "step", progress) as bar:
        bar.update(int(run.state.step))
        while run.progress.epoch < recipe.epochs:
            run = _further(setup, run, validation, checkpointer, on_epoch)
    return _trained(setup, run)


def _further(
    setup: Setup,
    run: RunState,
    validation: Dataset,
    checkpointer: Checkpointer,
    on_epoch: Callable[[EpochMetrics], None],
) -> RunState:
    """After some steps, all that is due then done."""
    begun = time.perf_counter()
    run = _advanced(setup, run, checkpointer)
    if len(run.progress.steps) == setup.per_epoch:
        run = _epoch_over(setup, run, validation, begun)
        on_epoch(run.progress.history[-1])
    else:
        run.progress.seconds += time.perf_counter() - begun
    _keep(setup, run, checkpointer)
    return run


def _advanced(setup: Setup, run: RunState, checkpointer: Checkpointer) -> RunState:
    """After some steps, and the check for catastrophic overfitting if it is due."""
    progress, step = run.progress, int(run.state.step)
    steps_fn = setup.run if progress.collapsed_at is None else setup.remedy
    key = jax.random.fold_in(setup.epochs_key, progress.epoch)
    at = setup.step_range(step, checkpointer.every)
    state, metrics = steps_fn(run.state, setup.loader, key, at)
    count = len(metrics["loss"])
    finite = np.isfinite(metrics["loss"])
    if not finite.all():
        raise ValueError(
            _diverged(setup, step + int(np.argmin(finite)) + 1, checkpointer)
        )
    names = sorted(metrics)
    progress.steps += [{n: float(metrics[n][i]) for n in names} for i in range(count)]
    run, step = run._replace(state=state), step + count
    between = setup.steps_between_checks()
    if between and step % between == 0 and progress.collapsed_at is None:
        _check_overfitting(setup, run, step)
    return run


def _check_overfitting(setup: Setup, run: RunState, step: int) -> None:
    now = float(
        setup.pgd_accuracy(setup.local_copy(run.state.variables), setup.check_key(step))
    )
    own = run.progress.means().get("accuracy", 0.0)
    if run.progress.epoch < setup.recipe.ball.growth_epochs:
        own = 0.0  # Of a smaller radius.
    if setup.recipe.watch.collapsed(now, run.progress.best_pgd_accuracy, own):
        run.progress.collapsed_at = step
    run.progress.best_pgd_accuracy = max(run.progress.best_pgd_accuracy, now)


def _epoch_over(
    setup: Setup, run: RunState, validation: Dataset, begun: float
) -> RunState:
    progress, weights = run.progress, setup.chosen(run.state)
    logits_fn, recipe = (
        models.logits_fn(setup.module, setup.local_copy(weights)),
        setup.recipe,
    )
    means, epoch = progress.means(), progress.epoch + 1
    is_due = epoch % recipe.validate_every == 0 or epoch == recipe.epochs
    row: EpochMetrics = {
        "epoch": epoch,
        "loss": means.pop("loss"),
        **{f"train_{name}": value for name, value in means.items()},
        **validations.validated(logits_fn, recipe.ball, validation if is_due else None),
        "seconds": progress.seconds + time.perf_counter() - begun,
    }
    progress.history.append(row)
    progress.steps, progress.seconds = [], 0.0
    if run.best is None:
        return run
    score = row["robust_validation_accuracy"]
    score = row["validation_accuracy"] if score is None else score
    if score is None or score <= progress.best:
        return run
    progress.best, progress.best_epoch = score, progress.epoch
    return run._replace(best=jax.tree.map(jnp.copy, weights))


def _keep(setup: Setup, run: RunState, checkpointer: Checkpointer) -> None:
    """Saves if it is time, and stops if that was asked for."""
    step = int(run.state.step)
    over = run.progress.epoch == setup.recipe.epochs
    asked = checkpointer.is_asked_to_stop() and not over
    if over or asked or (checkpointer.every and step % checkpointer.every == 0):
        if not _is_finite(run.state.variables):  # The next loss would tell.
            raise ValueError(_diverged(setup, step, checkpointer))
        checkpointer.save(run, wait=over or asked)
    if asked:
        where = checkpointer.newest() or "nowhere: no checkpointer was given"
        raise Stopped(f"stopped after step {step}; the state is in {where}")


def _is_finite(variables: Variables) -> bool:
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(variables))


def _diverged(setup: Setup, step: int, checkpointer: Checkpointer) -> str:
    good, rate = checkpointer.newest(), setup.recipe.descent.rate
    return (
        f"training has diverged: not finite at step {step}; lower "
        f"descent.rate={rate:g} or let the radius grow (ball.growth_epochs); the last "
        f"good checkpoint is {good or 'none'}"
    )


def _trained(setup: Setup, run: RunState) -> Trained:
    progress = run.progress
    history: dict[str, list[Any]] = {}
    for row in progress.history:
        for name, value in row.items():
            history.setdefault(name, []).append(value)
    chosen = setup.chosen(run.state) if run.best is None else run.best
    return Trained(
        setup.module,
        setup.local_copy(chosen),
        setup.local_copy({"live": run.state.variables, **run.state.averages}),
        history,
        math.fsum(history["seconds"]),
        None if run.best is None else progress.best_epoch,
        progress.collapsed_at,
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
