"""Trainings of a comparison, spread over processes of one core each."""

import functools
import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any, NamedTuple

import jax
import numpy as np

from robust_jax import datasets, evaluate, models, threats, train
from robust_jax.datasets.types import Dataset

Row = dict[str, Any]
_TILE = 32  # Of few images: larger ones would stand half empty.
_VALIDATION = 50
_CONFIG = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
    "jax_default_matmul_precision",
)


class Job(NamedTuple):
    """A net to be trained and judged; all that a process has to know."""

    recipe: train.Recipe
    seed: int
    ball: train.Ball  # it is judged in
    plan: str
    images: int  # the first so many of the test split
    data_dir: str | None
    costed: bool = True  # its cost is counted, which takes seconds


def shortened(recipe: train.Recipe, share: float) -> train.Recipe:
    """The recipe with a share of its epochs; what it counts in epochs goes along.

    It validates after the last epoch alone.
    """
    epochs = max(1, round(share * recipe.epochs))
    changes: Row = {"epochs": epochs, "validate_every": epochs}
    changes["ball.growth_epochs"] = share * recipe.ball.growth_epochs
    changes["method.awp_after"] = share * recipe.method.awp_after
    changes["weights.swa_from"] = share * recipe.weights.swa_from
    changes["descent.drops"] = tuple(share * drop for drop in recipe.descent.drops)
    return recipe.changed(changes)


def trained(job: Job) -> Row:
    """Trains and judges a net: accuracies, cost, seconds."""
    data, validation, test = (
        datasets.load(job.recipe.dataset, split, job.data_dir)
        for split in ("train", "validation", "test")
    )
    if job.recipe.weights.keep != "best":  # Nothing is chosen by them.
        validation = validation.take(np.arange(_VALIDATION))
    done = train.fit(job.recipe, data, validation, seed=job.seed)
    test = test.take(np.arange(job.images))
    row = {"seed": job.seed, **_judged(job, done, test)}
    row |= {"seconds": done.seconds, "healed": done.collapsed_at}
    return row | _cost(job, done, data) if job.costed else row


def in_turn(jobs: Sequence[Job], workers: int, together: int) -> Iterator[Row]:
    """`trained` of each job in order; several workers are processes of a core each.

    A worker takes so many jobs together: those that share compiled programs.
    """
    if workers == 1:
        yield from map(trained, jobs)
        return
    context = multiprocessing.get_context("spawn")
    cores = context.SimpleQueue()
    for _, core in zip(range(workers), itertools.cycle(_cores()), strict=False):
        cores.put(core)
    config = {name: getattr(jax.config, name) for name in _CONFIG}
    pool = futures.ProcessPoolExecutor(
        workers, context, initializer=_begin, initargs=(cores.get, config)
    )
    with pool:
        yield from pool.map(trained, jobs, chunksize=together)


def default_workers() -> int:
    """One for each core that is free to use on CPU, else one."""
    return len(_cores()) if jax.default_backend() == "cpu" else 1


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):  # Linux.
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _begin(next_core: Callable[[], int], config: Row) -> None:
    """Before a worker's first job; its back end is not up yet."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {next_core()})
    for name, value in config.items():
        jax.config.update(name, value)


def _judged(job: Job, done: train.Trained, test: Dataset) -> Row:
    found = evaluate.robustness(
        models.logits_fn(done.module, done.variables),
        test.pixels(),
        test.labels,
        threats.by_name(job.ball.norm)(job.ball.eps),
        plan=job.plan,
        ids=test.ids,
        audit=False,
        layout=evaluate.Layout(tile=_TILE),
    )
    return {"clean": found.clean_accuracy.value, "robust": found.robust_accuracy.value}


def _cost(job: Job, done: train.Trained, data: Dataset) -> Row:
    # Nets of the teachers' shapes: what they answer costs the same.
    teacher = models.logits_fn(done.module, done.variables)
    teachers = tuple(teacher for _ in job.recipe.teachers)
    setup = train.set_up(job.recipe, data, teachers=teachers)
    fresh = functools.partial(train.new_state, setup.learner)
    state = jax.eval_shape(fresh, done.variables)
    row = np.zeros(job.recipe.data.batch_size, np.int32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    batch = jax.eval_shape(setup.batching.batch, setup.loader, row, key)
    cost = train.step_cost(setup.learner, state, batch, done.module)
    gflop = cost.flops * job.recipe.epochs * setup.per_epoch / 1e9
    return {"forwards": cost.forwards_per_image, "gflop": gflop}
