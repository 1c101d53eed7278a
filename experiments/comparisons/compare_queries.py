"""Are our decision-based attacks as good as other libraries' at as many queries?

    make peers
    JAX_PLATFORMS=cpu python -m experiments.comparisons.compare_queries \
        --norm=l2 --count=32 \
        --checkpoint=kw_mnist.safetensors --queries=1000

Each attack of another library that sees labels alone runs with its own settings, for
about `--queries`. Its queries are counted, and ours of the same name gets as many, to
the last one. The images are those that the net gets right; all adversarial images are
judged again by our net. Both sides take turns; seconds are medians after a first
run of each, in which ours compiles.
"""

from typing import Any

import numpy as np
from absl import flags

from experiments.comparisons.peers import decision, nearest, options, ours
from experiments.comparisons.peers.libraries import Libraries
from experiments.comparisons.peers.problem import Problem
from robust_jax import attacks, report
from robust_jax.commands.shared import common, recording
from robust_jax.core import checks

_QUERIES = flags.DEFINE_integer("queries", 1_000, "Of an image, about.")
_ATTACKS = flags.DEFINE_list("attacks", None, "Names of ours; default: all.")
_NORMS = ("l2", "linf")

_COLUMNS = (
    report.Column("attack", "attack"),
    report.Column("library", "library"),
    report.Column("n", "n"),
    report.Column("queries", "queries", report.fixed(0)),
    report.Column("found", "found"),
    report.Column("median", "median distance", report.fixed(4)),
    report.Column("ours", "ours at as many", report.fixed(4)),
    report.Column("nearer", "ours nearer on"),
    report.Column("seconds", "seconds", report.fixed(2)),
    report.Column("our_seconds", "ours", report.fixed(2)),
    report.Column("ratio", "theirs to ours", report.fixed(1)),
    report.Column("first", "first call", report.fixed(1)),
    report.Column("our_first", "ours", report.fixed(1)),
)


def main(argv: list[str]) -> None:
    """Runs both sides in turn, judges them, prints the table, writes the record."""
    checks.known_name("norm", options.NORM.value, _NORMS)
    options.check_without_radius()
    if _QUERIES.value < 300:
        raise ValueError(
            f"queries={_QUERIES.value}; expected an integer >= 300, a round of "
            "HopSkipJump and its bisections"
        )
    chosen = decision.of_norm(options.NORM.value, _QUERIES.value)
    known = {pair.ours for pair in chosen}
    for name in _ATTACKS.value or ():
        checks.known_name(f"{options.NORM.value} attack", name, known)
    chosen = tuple(r for r in chosen if r.ours in (_ATTACKS.value or known))
    data, problem, libraries = options.posed()
    run = recording.Run("compare_queries")
    with libraries as peers:
        for pair in report.progress(chosen, f"{options.NORM.value} attacks", "attack"):
            run.rows.append(_row(pair, problem, peers))
        run.notes = [options.conditions(peers, problem)]
    run.notes += [
        f"{row['attack']} of {row['library']} failed: {row['error']}"
        for row in run.rows
        if "error" in row
    ]
    run.show(_COLUMNS)
    run.save(
        f"Decision-based attacks beside other libraries': {options.CHECKPOINT.value}",
        f"{data.name} test, n = {len(problem.images)}, {options.NORM.value}, about "
        f"{_QUERIES.value} queries.",
        _COLUMNS,
    )


def _row(
    pair: decision.QueryPair, problem: Problem, peers: Libraries
) -> dict[str, Any]:
    """Theirs, and ours with as many queries."""
    seed = common.SEED.value
    row: dict[str, Any] = {"attack": pair.ours, "library": pair.peer.library}
    row["n"] = len(problem.images)
    theirs = nearest.measure(peers, pair.peer, problem, seed)
    if isinstance(theirs, str):
        return row | {"error": theirs}
    attack = attacks.by_name(pair.ours).of_queries(int(theirs.forwards))
    times: list[tuple[float, float]] = []
    for _ in range(1 + options.REPETITIONS.value):  # Our first one compiles.
        mine = nearest.measured(problem, ours.alone(attack, problem, seed))
        times.append((theirs.seconds, mine.seconds))
        if len(times) <= options.REPETITIONS.value:
            again = nearest.measure(peers, pair.peer, problem, seed)
            if isinstance(again, str):
                return row | {"error": again}
            theirs = again
    seconds, our_seconds = np.median(times[1:], axis=0).tolist()
    return row | {
        "queries": theirs.forwards,
        "found": int(np.isfinite(theirs.lenient).sum()),
        "median": _median(theirs.lenient),
        "ours": _median(mine.lenient),
        "nearer": f"{int((mine.lenient < theirs.lenient).sum())} of {row['n']}",
        "seconds": seconds,
        "our_seconds": our_seconds,
        "ratio": seconds / our_seconds,
        "first": times[0][0],
        "our_first": times[0][1],
        "times": times,
        "distances": theirs.lenient.tolist(),
        "our_distances": mine.lenient.tolist(),
    }


def _median(distances: np.ndarray) -> float | None:
    middle = float(np.median(distances))
    return middle if np.isfinite(middle) else None


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    flags.adopt_module_key_flags(options)
    common.run_main(main)
