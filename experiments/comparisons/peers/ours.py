"""Our side of a comparison."""

import time
from typing import Any

import jax
import numpy as np

from experiments.comparisons.peers.problem import Found, Problem
from robust_jax import evaluate
from robust_jax.core import drive, lift
from robust_jax.core.types import Attack, Untargeted
from robust_jax.evaluate.batch import run_on


def attack(stage: evaluate.Stage, problem: Problem, seed: int) -> Found:
    """Runs a stage of ours: every goal and restart on what is left, in tiles."""
    x_adv, spent = problem.images.copy(), np.zeros(2)
    left = np.arange(len(problem.images))
    start = time.perf_counter()
    for target, goal in enumerate(stage.goals(problem.labels, problem.logits)):
        for restart in range(stage.restarts):
            if len(left) == 0:
                break
            part = jax.tree.map(lambda f: np.asarray(f)[left], goal)  # noqa: B023
            ids, images = problem.ids[left], problem.images[left]
            given = ids, problem.logits_fn, problem.threat, images, part
            names: dict[str, Any] = {"target": target, "restart": restart}
            result = run_on(stage.attack, *given, seed=seed, **names)
            spent += [result.forwards.sum(), result.backwards.sum()]
            x_adv[left] = result.x_adv
            left = left[result.margin < 0]
    seconds = time.perf_counter() - start
    forwards, backwards = spent / len(problem.images)
    return Found(x_adv, seconds, float(forwards), float(backwards))


def nearest(plan: evaluate.NearestPlan, problem: Problem, seed: int) -> Found:
    """Runs minimum-norm attacks of ours to their end, all goals and restarts."""
    found = evaluate.distances(
        problem.logits_fn,
        problem.images,
        problem.labels,
        problem.threat,
        plan,
        ids=problem.ids,
        seed=seed,
    )
    return Found(found.x_adv, found.seconds, found.forwards, found.backwards)


def alone(attack: Attack, problem: Problem, seed: int) -> Found:
    """Runs one attack to its end on all images as one batch, as one program."""
    run: Any = drive.traced(attack, to_the_end=True)
    keys, goal = lift.item_keys(seed, problem.ids), Untargeted(problem.labels)
    start = time.perf_counter()
    result = run(keys, problem.logits_fn, problem.threat, problem.images, goal)
    x_adv = np.asarray(result.x_adv)
    seconds = time.perf_counter() - start
    calls = float(result.forwards.mean()), float(result.backwards.mean())
    return Found(x_adv, seconds, *calls)
