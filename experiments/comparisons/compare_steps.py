"""Is a step of PGD training as fast and as lean as in PyTorch, on this CPU?

    make peers && python -m experiments.comparisons.compare_steps --net=preact_resnet18

PGD-10 from a random start, then a step of SGD, on random images: SmallCNN and batches
of 128 images of 28x28, or PreActResNet-18 and 32 of 32x32x3. Both sides take their
steps in turn; the ratio is that of the medians, ours to PyTorch's in its default
layout. Memory is what is resident over the level after imports and data, in each side's
process: after the steps, and at its highest, which here is while the step is compiled.
"""

import functools
import os
import statistics
import time
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.comparisons.peers import child
from robust_jax import datasets, report, train
from robust_jax.commands.shared import common, recording
from robust_jax.core import checks
from robust_jax.train import loop

_PEERS_PYTHON = flags.DEFINE_string(
    "peers_python", ".venv-peers/bin/python", "Interpreter that `make peers` set up."
)
_SETTINGS = {  # shape of an image, batch size, eps
    "small_cnn": ((28, 28, 1), 128, 0.3),
    "preact_resnet18": ((32, 32, 3), 32, 8 / 255),
}
_NET = flags.DEFINE_enum("net", "small_cnn", list(_SETTINGS), "What is trained.")
_REPETITIONS = flags.DEFINE_integer("repetitions", 10, "Turns of each side.")
_COUNT = flags.DEFINE_integer("steps", 2, "Training steps of a turn.")
_IMAGES, _ATTACK_STEPS, _RELATIVE_STEP = 512, 10, 0.25
_RATE, _DECAY = 0.01, 5e-4

_COLUMNS = (
    report.Column("who", "who"),
    report.Column("median", "median step [s]", report.fixed(4)),
    report.Column("ratio", "ratio", report.fixed(2)),
    report.Column("first", "first step [s]", report.fixed(1)),
    report.Column("resident", "resident after the steps [MiB]", report.fixed(0)),
    report.Column("highest", "at the highest [MiB]", report.fixed(0)),
)


def main(argv: list[str]) -> None:
    """Measures, prints the table, writes record and page."""
    checks.positive_integer("repetitions", _REPETITIONS.value)
    checks.positive_integer("steps", _COUNT.value)
    child.check_installed(_PEERS_PYTHON.value)
    child.check_on_cpu()
    jax.config.update("jax_enable_compilation_cache", False)
    data, run = _data(), recording.Run("compare_steps")
    program = "serve_pytorch_steps.py"
    with child.Child(_PEERS_PYTHON.value, program, _problem(data)) as peer:
        sides = {
            f"PyTorch {peer.versions['torch']}": (peer.process_id, _theirs(peer)),
            "robust_jax": (os.getpid(), _ours(data)),
        }
        loop.give_back_memory()  # What imports freed: it would hide a growth.
        before = {who: child.memory(pid)["VmRSS"] for who, (pid, _) in sides.items()}
        first = {who: take(1) for who, (_, take) in sides.items()}
        seconds: dict[str, list[float]] = {who: [] for who in sides}
        for _ in report.progress(range(_REPETITIONS.value), _NET.value, "turn"):
            for who, (_, take) in sides.items():
                seconds[who].append(take(_COUNT.value))
        after = {who: child.memory(pid) for who, (pid, _) in sides.items()}
    medians = {who: statistics.median(values) for who, values in seconds.items()}
    base = next(iter(medians.values()))
    run.rows = [
        {
            "who": who,
            "median": medians[who],
            "ratio": medians[who] / base,
            "first": first[who],
            "resident": after[who]["VmRSS"] - before[who],
            "highest": after[who]["VmHWM"] - before[who],
            "all": seconds[who],
        }
        for who in sides
    ]
    print(report.for_terminal(run.rows, _COLUMNS))
    run.notes = [f"threads: {peer.threads}"]
    _, batch_size, _ = _SETTINGS[_NET.value]
    what = f"{_NET.value}, PGD-{_ATTACK_STEPS}, batches of {batch_size} images."
    run.save("A training step beside PyTorch", what, _COLUMNS)


def _data() -> datasets.Dataset:
    rng, shape = np.random.default_rng(common.SEED.value), _SETTINGS[_NET.value][0]
    images = rng.integers(0, 256, (_IMAGES, *shape), np.uint8)
    labels = rng.integers(0, 10, _IMAGES).astype(np.int32)
    ids = np.arange(_IMAGES, dtype=np.uint64)
    return datasets.Dataset("noise", "train", images, labels, ids, 10, 255)


def _problem(data: datasets.Dataset) -> dict[str, Any]:
    _, batch_size, eps = _SETTINGS[_NET.value]
    problem: dict[str, Any] = {"images": data.pixels(), "labels": data.labels}
    problem |= {"net": _NET.value, "batch_size": batch_size}
    problem |= {"rate": _RATE, "decay": _DECAY}
    problem |= {"steps": _ATTACK_STEPS, "eps": eps}
    return problem | {"step_size": _RELATIVE_STEP * eps}


def _theirs(peer):
    return lambda count: peer.ask({"count": count})["seconds"]


def _ours(data):
    """A function of a number of steps that takes them: the mean of their seconds."""
    _, batch_size, eps = _SETTINGS[_NET.value]
    recipe = train.Recipe(
        dataset=data.name,
        model=_NET.value,
        ball=train.Ball(eps=eps),
        attack=train.Inner(steps=_ATTACK_STEPS, relative_step=_RELATIVE_STEP),
        descent=train.Descent(
            "sgd", rate=_RATE, weight_decay=_DECAY, schedule="constant"
        ),
        data=train.Data(batch_size=batch_size),
    )

    @functools.cache
    def begun():
        setup = train.set_up(recipe, data)
        return setup, loop.hosted(setup.learner, setup.batching), [setup.fresh().state]

    def take(count):
        start, at = time.perf_counter(), loop.StepRange(0, count)
        setup, run, states = begun()
        states[0], _ = run(states[0], setup.loader, setup.epochs_key, at)
        return (time.perf_counter() - start) / count

    return take


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    common.run_main(main)
