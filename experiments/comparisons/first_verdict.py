"""Ours in `benchmark --suite=first_verdict`: one evaluation in a fresh process.

    python -m experiments.comparisons.first_verdict PROBLEM.npz \
        '{"plan": "swift", "audit": false}'

Imports what a user of the library needs, reads images, labels and weights, evaluates,
prints one line of JSON. `cache` in the request names a folder of compiled programs.
"""

import json
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import robust_jax as rj

Problem = dict[str, np.ndarray]


def mlp(weights: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """Two dense layers with ReLU, logits [K] of one image [H, W, C]."""
    x = (x - weights["mean"]) / weights["std"]
    hidden = jax.nn.relu(
        x.ravel() @ weights["Dense_0/kernel"] + weights["Dense_0/bias"]
    )
    return hidden @ weights["Dense_1/kernel"] + weights["Dense_1/bias"]


def net(problem: Problem) -> Any:
    """The problem's net with its weights, as `evaluate.robustness` takes it."""
    layers = {
        name: jnp.asarray(value) for name, value in problem.items() if "/" in name
    }
    if str(problem["net"]) == "mlp":
        constants = {name: jnp.asarray(problem[name]) for name in ("mean", "std")}
        return Partial(mlp, {**layers, **constants})
    mean, std = (tuple(problem[name].tolist()) for name in ("mean", "std"))
    classes = len(problem["Dense_1/bias"])
    module = rj.models.FastCNN(num_classes=classes, mean=mean, std=std)
    params: dict[str, dict[str, jax.Array]] = {}
    for name, value in layers.items():
        layer, _, field = name.partition("/")
        params.setdefault(layer, {})[field] = value
    return rj.models.logits_fn(module, {"params": params})


def verdict(problem: Problem, request: dict[str, Any]) -> dict[str, Any]:
    """What the benchmark's table needs; `first_step` is a time of `time.time()`."""
    if request.get("cache"):
        rj.compile_cache(request["cache"])
    called = time.time()
    result = rj.evaluate.robustness(
        net(problem),
        problem["images"],
        problem["labels"],
        rj.threats.Linf(float(problem["eps"])),
        plan=request["plan"],
        audit=request["audit"],
    )
    step, made = result.seconds_to_first_step, result.compilation
    return {
        "robust": result.robust_accuracy.successes,
        "first_step": None if step is None else called + step,
        "programs": None if made is None else made.to_json(),
    }


if __name__ == "__main__":
    with np.load(sys.argv[1]) as file:
        print(json.dumps(verdict(dict(file), json.loads(sys.argv[2]))))
