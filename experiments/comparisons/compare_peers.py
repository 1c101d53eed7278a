"""Are our attacks as strong as other libraries' at the same budget, and as fast?

    make peers
    JAX_PLATFORMS=cpu python -m experiments.comparisons.compare_peers \
        --norm=linf --eps=0.1 \
        --checkpoint=kw_mnist.safetensors --count=1000

Every attack of `peers.pairs` with that norm attacks the same images, all that the net
gets right, in one batch on the CPU with the same number of threads. The libraries take
turns, after a first call of each that is timed apart. All adversarial images, ours too,
are judged by the same fresh look: an image outside the ball or the box, or that our
model gets right, counts as not found. Forwards and backwards are counted, per
image. "only ours" counts images that we break and the library does not, over all runs.

A busy machine is unfair to PyTorch, whose threads spin while they wait: let nothing
else run.
"""

import functools

from absl import flags

from experiments.comparisons.peers import judging, options, ours, pairs
from experiments.comparisons.peers.libraries import Libraries
from experiments.comparisons.peers.pair import Pair
from experiments.comparisons.peers.problem import Problem
from robust_jax import report
from robust_jax.commands.shared import common, recording
from robust_jax.core import checks

_ATTACKS = flags.DEFINE_list("attacks", None, "Only these, such as FGSM,PGD-40.")

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
    data, problem, libraries = options.posed()
    run = recording.Run("compare_peers")
    with libraries as peers:
        for pair in report.progress(chosen, f"{options.NORM.value} attacks", "attack"):
            run.rows.extend(_rows(pair, problem, peers))
        run.notes = [options.conditions(peers, problem), *judging.verdicts(run.rows)]
    run.show(_COLUMNS)
    run.save(
        f"Attacks beside other libraries': {options.CHECKPOINT.value}",
        f"{options.summary(data)}; medians "
        f"of {options.REPETITIONS.value} runs in turn.",
        _COLUMNS,
    )


def _rows(pair: Pair, problem: Problem, peers: Libraries) -> list[dict]:
    calls: dict[str, judging.Call] = {
        _OURS: functools.partial(ours.attack, pair.stage(), problem)
    }
    for peer in pair.theirs:
        calls[peer.library] = functools.partial(peers.run, peer, options.EPS.value)
    outcomes = judging.compare(
        calls, problem, common.SEED.value, options.REPETITIONS.value
    )
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
    options.check()
    known = {pair.name: pair for pair in pairs.of_norm(options.NORM.value)}
    for name in _ATTACKS.value or ():
        checks.known_name(f"{options.NORM.value} attack", name, known)
    return tuple(known[name] for name in _ATTACKS.value or known)


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    flags.adopt_module_key_flags(options)
    common.run_main(main)
