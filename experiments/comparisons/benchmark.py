"""How fast are the drivers, an epoch, and PGD beside PyTorch, on this machine?

    python -m experiments.comparisons.benchmark --suite=drivers
    make peers
    python -m experiments.comparisons.benchmark --suite=peers --data_dir=DIR
    python -m experiments.comparisons.benchmark --suite=first_verdict --repetitions=3

Variants of one measurement are run in turn, so that a machine that drifts does so for
all of them; the table gives the median of the repetitions and its ratio to the first
variant of its group. Compilation is timed apart. Results block until they are ready.

`first_verdict` is about fresh processes: a net's robustness on 64 and 100 digits from
the start of Python to the last line, with an empty and a filled cache of compiled
programs, beside AutoAttack in PyTorch. Each has one core and one thread; its
CPU-seconds count, compilation and imports among them.
"""

import statistics
import time
from collections.abc import Callable, Sequence

import jax
from absl import flags

from experiments.comparisons import benchmark_suites, benchmark_verdicts, verdict_rows
from robust_jax import report
from robust_jax.commands.shared import common, recording
from robust_jax.core import checks

_SUITE = flags.DEFINE_enum(
    "suite", "drivers", [*benchmark_suites.SUITES, "first_verdict"], "What to measure."
)
_REPETITIONS = flags.DEFINE_integer("repetitions", 10, "Counted runs of each variant.")

_COLUMNS = (
    report.Column("group", "measurement"),
    report.Column("variant", "variant"),
    report.Column("median", "median [s]", report.fixed(4)),
    report.Column("fastest", "fastest [s]", report.fixed(4)),
    report.Column("slowest", "slowest [s]", report.fixed(4)),
    report.Column("ratio", "ratio", report.fixed(2)),
    report.Column("first", "first call [s]", report.fixed(1)),
)


def main(argv: list[str]) -> None:
    """Measures, prints the table, writes record and page."""
    checks.positive_integer("repetitions", _REPETITIONS.value)
    of_processes = _SUITE.value == "first_verdict"
    run = _processes() if of_processes else _calls()
    columns: Sequence[report.Column]
    columns = verdict_rows.COLUMNS if of_processes else _COLUMNS
    run.show(columns)
    run.save(
        f"Benchmark: {_SUITE.value}",
        f"Medians of {_REPETITIONS.value} interleaved repetitions.",
        columns,
    )


def _processes() -> recording.Run:
    benchmark_verdicts.check()
    run, python = recording.Run("benchmark"), benchmark_suites.PEERS_PYTHON.value
    run.rows = benchmark_verdicts.rows(python, _REPETITIONS.value, run.notes)
    return run


def _calls() -> recording.Run:
    notes: list[str] = []
    with benchmark_suites.SUITES[_SUITE.value](notes) as groups:
        run = recording.Run("benchmark")
        run.notes = notes
        for group, variants in groups.items():
            run.rows.extend(_measure(group, variants, _REPETITIONS.value))
    return run


def _measure(
    group: str, variants: dict[str, Callable[[], object]], repetitions: int
) -> list[dict]:
    first = {name: _seconds(call) for name, call in variants.items()}
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in report.progress(range(repetitions), group, "round"):
        for name, call in variants.items():
            times[name].append(_seconds(call))
    base = statistics.median(next(iter(times.values())))
    return [
        {
            "group": group,
            "variant": name,
            "median": statistics.median(values),
            "fastest": min(values),
            "slowest": max(values),
            "ratio": statistics.median(values) / base,
            "first": first[name],
            "repetitions": repetitions,
            "all": values,
        }
        for name, values in times.items()
    ]


def _seconds(call: Callable[[], object]) -> float:
    """Wall time of a call; a peer that times itself returns its own seconds."""
    start = time.perf_counter()
    result = jax.block_until_ready(call())
    return result if isinstance(result, float) else time.perf_counter() - start


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    flags.adopt_module_key_flags(benchmark_suites)
    flags.adopt_module_key_flags(benchmark_verdicts)
    common.run_main(main)
