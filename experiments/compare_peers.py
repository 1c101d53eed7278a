"""Are our attacks as strong as other libraries' at the same budget, and as fast?

    make peers
    JAX_PLATFORMS=cpu python -m experiments.compare_peers --norm=linf --eps=0.1 \
        --checkpoint=kw_mnist.safetensors --count=1000

Every attack of `peer_pairs` with that norm attacks the same images, all that the net
gets right, in one batch on the CPU with the same number of threads. The libraries take
turns, after a first call of each that is timed apart. All adversarial images, ours too,
are judged by the same audit: an image outside the ball or the box, or that our model
gets right, counts as not found. Forwards and backwards are counted, per image. "only
ours" counts images that we break and the library does not, over all runs.

A busy machine is unfair to PyTorch, whose threads spin while they wait: let nothing
else run.
"""

import functools
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags

from experiments import common, peer_client, peer_pairs, recording
from experiments.peer_libraries import Found, LibraryError, Peers
from robust_jax import evaluate, models, report, threats
from robust_jax.core import checks, drive, lift
from robust_jax.core.metrics import Proportion
from robust_jax.datasets.types import Dataset
from robust_jax.evaluate.audit import audit, predict
from robust_jax.models import networks

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "out/train/model.safetensors", "A fast_cnn, as models.save writes it."
)
_DATASET = flags.DEFINE_string(
    "dataset", None, "Default: the data set that the net was trained on."
)
_COUNT = flags.DEFINE_integer("count", 100, "The first so many test images.")
_NORM = flags.DEFINE_enum("norm", "linf", ["linf", "l2", "l1"], "Of the threat.")
_EPS = flags.DEFINE_float("eps", None, "Radius, pixel units of [0, 1].", required=True)
_ATTACKS = flags.DEFINE_list("attacks", None, "Only these, such as FGSM,PGD-40.")
_REPETITIONS = flags.DEFINE_integer("repetitions", 3, "Counted runs of each.")
_PEERS_PYTHON = flags.DEFINE_string(
    "peers_python", ".venv-peers/bin/python", "Interpreter that `make peers` set up."
)

_OURS = "robust_jax"

_COLUMNS = (
    report.Column("attack", "attack"),
    report.Column("library", "library"),
    report.Column("budget", "budget"),
    report.Column("forwards", "forwards", report.fixed(1)),
    report.Column("backwards", "backwards", report.fixed(1)),
    report.Column("robust_accuracy", "robust accuracy [95 %]"),
    report.Column("only_ours", "only ours"),
    report.Column("only_theirs", "only theirs"),
    report.Column("outside", "outside"),
    report.Column("seconds", "median [s]", report.fixed(3)),
    report.Column("ratio", "to ours", report.fixed(2)),
    report.Column("first", "first call [s]", report.fixed(1)),
)


class Problem(NamedTuple):
    """What all libraries attack: the images that the net gets right."""

    logits_fn: Any
    threat: Any
    images: np.ndarray  # [N, H, W, C]
    labels: np.ndarray  # [N]
    ids: np.ndarray  # [N]
    total: int  # before those that the net gets wrong were left out
    logits: np.ndarray  # [N, K] clean


Call = Callable[[int], Found]  # seed -> one run


def main(argv: list[str]) -> None:
    """Runs both sides in turn, judges them, prints the table, writes the record."""
    pairs = _pairs()
    peer_client.check_installed(_PEERS_PYTHON.value)
    checkpoint = models.load(_CHECKPOINT.value)
    data = common.load_for(checkpoint, _DATASET.value, "test", _COUNT.value)
    problem = _problem(checkpoint, data)
    run = recording.Run("compare_peers")
    with Peers(_PEERS_PYTHON.value, _arrays(checkpoint, problem)) as peers:
        for pair in report.progress(pairs, f"{_NORM.value} attacks", "attack"):
            run.rows.extend(_rows(pair, problem, peers))
        run.notes = [_conditions(peers, problem), *verdicts(run.rows)]
    print(report.format_table(run.rows, _COLUMNS))
    for note in run.notes:
        print(note)
    run.save(
        f"Attacks beside other libraries': {_CHECKPOINT.value}",
        f"{data.name} test, n = {len(data)}, {_NORM.value} eps={_EPS.value:g}; medians "
        f"of {_REPETITIONS.value} runs in turn.",
        _COLUMNS,
    )


def attack_ours(stage: evaluate.Stage, problem: Problem, seed: int) -> Found:
    """Runs a stage of ours: every goal and restart on what is left, in tiles."""
    run = lift.in_tiles(drive.auto(stage.attack))
    x_adv, spent = problem.images.copy(), np.zeros(2)
    left = np.arange(len(problem.images))
    start = time.perf_counter()
    for target, goal in enumerate(stage.goals(problem.labels, problem.logits)):
        for restart in range(stage.restarts):
            if len(left) == 0:
                break
            names = {"target": target, "restart": restart}
            keys = lift.item_keys(seed, problem.ids[left], **names)
            part = type(goal)(*(np.asarray(field)[left] for field in goal))
            images = problem.images[left]
            result = run(keys, problem.logits_fn, problem.threat, images, part)
            spent += [result.forwards.sum(), result.backwards.sum()]
            x_adv[left] = result.x_adv
            left = left[result.margin < 0]
    seconds = time.perf_counter() - start
    forwards, backwards = spent / len(problem.images)
    return Found(x_adv, seconds, float(forwards), float(backwards))


def judge(problem: Problem, x_adv: np.ndarray) -> tuple[np.ndarray, int]:
    """Which images an attack broke, [N] bool, and how many claims lie outside.

    Raises: ValueError: results of another shape.
    """
    if x_adv.shape != problem.images.shape:
        raise ValueError(
            f"x_adv.shape={x_adv.shape}; expected {problem.images.shape}, as the images"
        )
    claims = (problem.images, x_adv.astype(np.float32), problem.labels)
    checked = audit(problem.logits_fn, problem.threat, *claims)
    claimed, is_outside = np.ones(len(x_adv), bool), np.zeros(len(x_adv), bool)
    claimed[checked.unconfirmed] = False
    is_outside[checked.outside] = True
    return claimed & ~is_outside, int((claimed & is_outside).sum())


def compare(
    calls: Mapping[str, Call], problem: Problem, seed: int, repetitions: int
) -> dict[str, dict[str, Any]]:
    """Runs the attacks in turn and judges every run.

    Run r draws from seed + r, so that luck does not decide; accuracy and time are
    those of the median run.

    Args:
        calls: attacks by the name of their library, ours first.
        problem: what they attack.
        seed: of the first run.
        repetitions: counted runs of each, after a first call; >= 1.
    Returns: by library the cells of the table; for a library whose attack raised
        `LibraryError` its error alone.
    """
    outcomes: dict[str, dict[str, Any]] = {}
    first: dict[str, float] = {}
    for name, call in calls.items():
        try:
            first[name] = call(seed).seconds
        except LibraryError as error:
            outcomes[name] = {"error": str(error)}
    runs: dict[str, list[Found]] = {name: [] for name in first}
    for r in range(repetitions):
        for name, done in runs.items():
            done.append(calls[name](seed + r))
    ours = None
    for name, done in runs.items():
        judged = [judge(problem, run.x_adv) for run in done]
        broken = np.stack([flags for flags, _ in judged])
        outcomes[name] = {
            **_cells(done, broken, problem),
            "outside": sum(outside for _, outside in judged),
            "first": first[name],
            "only_ours": None if ours is None else int((ours & ~broken).sum()),
            "only_theirs": None if ours is None else int((broken & ~ours).sum()),
        }
        ours = broken if ours is None else ours
    return {name: outcomes[name] for name in calls}


def _cells(runs: list[Found], broken: np.ndarray, problem: Problem) -> dict[str, Any]:
    robust = (~broken).sum(axis=1).tolist()
    return {
        "forwards": statistics.fmean(run.forwards for run in runs),
        "backwards": statistics.fmean(run.backwards for run in runs),
        "robust_accuracy": Proportion(statistics.median_low(robust), problem.total),
        "robust_counts": robust,
        "seconds": statistics.median(run.seconds for run in runs),
        "all": [run.seconds for run in runs],
    }


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the rows say, in sentences: where ours is weaker, and what failed.

    Weaker are we where a library breaks more images that we miss than the other way
    round; beyond chance where the difference exceeds twice its standard deviation
    (McNemar's test).
    """
    weaker, failed, compared = [], [], 0
    for row in rows:
        title = f"{row['attack']} of {row['library']}"
        if "error" in row:
            failed.append(f"{title} failed: {row['error']}")
        if row.get("only_theirs") is None:  # Ours, or one that failed.
            continue
        compared += 1
        gap = row["only_theirs"] - row["only_ours"]
        if gap > 0:
            spread = math.sqrt(row["only_theirs"] + row["only_ours"])
            chance = "beyond chance" if gap > 2 * spread else "within chance"
            weaker.append(f"{title} by {gap} ({chance})")
    sentence = f"No weaker in {compared - len(weaker)} of {compared} comparisons"
    if weaker:
        sentence += f"; weaker, in images over all runs, than {', '.join(weaker)}"
    return [f"{sentence}.", *failed]


def _rows(pair: peer_pairs.Pair, problem: Problem, peers: Peers) -> list[dict]:
    calls: dict[str, Call] = {
        _OURS: functools.partial(attack_ours, pair.stage(), problem)
    }
    for peer in pair.theirs:
        calls[peer.library] = functools.partial(peers.run, peer, _EPS.value)
    outcomes = compare(calls, problem, common.SEED.value, _REPETITIONS.value)
    base = outcomes[_OURS]["seconds"]
    rows = []
    for name, outcome in outcomes.items():
        row = {"attack": pair.name, "norm": pair.norm, "library": name}
        row |= {"budget": pair.budget} | outcome
        if "seconds" in outcome:
            row["ratio"] = outcome["seconds"] / base
        rows.append(row)
    return rows


def _pairs() -> tuple[peer_pairs.Pair, ...]:
    checks.eps(_NORM.value, _EPS.value)
    checks.positive_number("eps", _EPS.value)
    checks.positive_integer("repetitions", _REPETITIONS.value)
    if jax.default_backend() != "cpu":
        raise ValueError(
            f"backend={jax.default_backend()}; expected the CPU, as the libraries run "
            "there; set JAX_PLATFORMS=cpu"
        )
    pairs = {pair.name: pair for pair in peer_pairs.of_norm(_NORM.value)}
    for name in _ATTACKS.value or ():
        checks.known_name(f"{_NORM.value} attack", name, pairs)
    return tuple(pairs[name] for name in _ATTACKS.value or pairs)


def _problem(checkpoint: models.Checkpoint, data: Dataset) -> Problem:
    if not isinstance(checkpoint.module, networks.FastCNN):
        raise ValueError(
            f"checkpoint={_CHECKPOINT.value} holds a "
            f"{type(checkpoint.module).__name__}; expected a FastCNN, the net that the "
            "libraries' side builds; choose another one"
        )
    images, labels = data.pixels(), np.asarray(data.labels)
    logits = predict(checkpoint.logits_fn, images, lift.TILE)
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    right = np.flatnonzero((logits >= own).sum(axis=1) == 1)  # A tie is lost.
    if len(right) == 0:
        raise ValueError(
            f"checkpoint={_CHECKPOINT.value} gets all {len(data)} images wrong; "
            "expected a trained net; choose another one"
        )
    return Problem(
        checkpoint.logits_fn,
        threats.by_name(_NORM.value)(_EPS.value),
        images[right],
        labels[right],
        data.ids[right],
        len(data),
        logits[right],
    )


def _arrays(checkpoint: models.Checkpoint, problem: Problem) -> dict[str, Any]:
    module = checkpoint.module
    arrays: dict[str, Any] = {
        "images": problem.images,
        "labels": problem.labels,
        "num_classes": problem.logits.shape[1],
        "mean": np.float32(module.mean),
        "std": np.float32(module.std),
    }
    for layer, fields in checkpoint.variables["params"].items():
        arrays |= {f"{layer}/{field}": np.asarray(v) for field, v in fields.items()}
    return arrays


def _conditions(peers: Peers, problem: Problem) -> str:
    versions = ", ".join(f"{name} {v}" for name, v in sorted(peers.versions.items()))
    return (
        f"{len(problem.images)} of {problem.total} images are attacked, the others are "
        f"lost already; {peers.threads} threads on either side; load average at the "
        f"end {os.getloadavg()[0]:.1f}; {versions}."
    )


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    common.run_main(main)
