"""Are our attacks as strong as other libraries' at the same budget, and as fast?

    make peers
    JAX_PLATFORMS=cpu python -m experiments.compare_peers --norm=linf --eps=0.1 \
        --checkpoint=kw_mnist.safetensors --count=1000

Every attack of `peers.pairs` with that norm attacks the same images, all that the net
gets right, in one batch on the CPU with the same number of threads. The libraries take
turns, after a first call of each that is timed apart. All adversarial images, ours too,
are judged by the same audit: an image outside the ball or the box, or that our model
gets right, counts as not found. Forwards and backwards are counted, per image. "only
ours" counts images that we break and the library does not, over all runs.

A busy machine is unfair to PyTorch, whose threads spin while they wait: let nothing
else run.
"""

import functools
import os

from absl import flags

from experiments import common, recording
from experiments.peers import child, judging, ours, pairs, problem as problems
from experiments.peers.libraries import Libraries
from experiments.peers.pair import Pair
from experiments.peers.problem import Problem
from robust_jax import models, report, threats
from robust_jax.core import checks

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


def main(argv: list[str]) -> None:
    """Runs both sides in turn, judges them, prints the table, writes the record."""
    chosen = _chosen()
    child.check_installed(_PEERS_PYTHON.value)
    checkpoint = models.load(_CHECKPOINT.value)
    data = common.load_for(checkpoint, _DATASET.value, "test", _COUNT.value)
    threat = threats.by_name(_NORM.value)(_EPS.value)
    problem = problems.pose(_CHECKPOINT.value, checkpoint, data, threat)
    arrays = problems.arrays(checkpoint, problem)
    run = recording.Run("compare_peers")
    with Libraries(_PEERS_PYTHON.value, arrays) as peers:
        for pair in report.progress(chosen, f"{_NORM.value} attacks", "attack"):
            run.rows.extend(_rows(pair, problem, peers))
        run.notes = [_conditions(peers, problem), *judging.verdicts(run.rows)]
    print(report.format_table(run.rows, _COLUMNS))
    for note in run.notes:
        print(note)
    run.save(
        f"Attacks beside other libraries': {_CHECKPOINT.value}",
        f"{data.name} test, n = {len(data)}, {_NORM.value} eps={_EPS.value:g}; medians "
        f"of {_REPETITIONS.value} runs in turn.",
        _COLUMNS,
    )


def _rows(pair: Pair, problem: Problem, peers: Libraries) -> list[dict]:
    calls: dict[str, judging.Call] = {
        _OURS: functools.partial(ours.attack, pair.stage(), problem)
    }
    for peer in pair.theirs:
        calls[peer.library] = functools.partial(peers.run, peer, _EPS.value)
    outcomes = judging.compare(calls, problem, common.SEED.value, _REPETITIONS.value)
    base = outcomes[_OURS]["seconds"]
    rows = []
    for name, outcome in outcomes.items():
        row = {"attack": pair.name, "norm": pair.norm, "library": name}
        row |= {"budget": pair.budget} | outcome
        if "seconds" in outcome:
            row["ratio"] = outcome["seconds"] / base
        rows.append(row)
    return rows


def _chosen() -> tuple[Pair, ...]:
    checks.eps(_NORM.value, _EPS.value)
    checks.positive_number("eps", _EPS.value)
    checks.positive_integer("repetitions", _REPETITIONS.value)
    child.check_on_cpu()
    known = {pair.name: pair for pair in pairs.of_norm(_NORM.value)}
    for name in _ATTACKS.value or ():
        checks.known_name(f"{_NORM.value} attack", name, known)
    return tuple(known[name] for name in _ATTACKS.value or known)


def _conditions(peers: Libraries, problem: Problem) -> str:
    versions = ", ".join(f"{name} {v}" for name, v in sorted(peers.versions.items()))
    return (
        f"{len(problem.images)} of {problem.total} images are attacked, the others are "
        f"lost already; {peers.threads} threads on either side; load average at the "
        f"end {os.getloadavg()[0]:.1f}; {versions}."
    )


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    common.run_main(main)
