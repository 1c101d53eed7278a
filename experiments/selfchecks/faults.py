"""Does what was promised hold when processes are killed and files damaged?

    python -m experiments.selfchecks.faults --faults=200 --seed=0

Random kills, stops, full disks, flipped bits, cut, missing, repeated and exchanged
files happen to evaluations, trainings and distances of a tiny net on the digits. After
an interruption, or several, the same command must end with the answer of an undisturbed
run; after damage with the same or in a sentence. Counted are wrong answers, finished
work that is lost, tracebacks, and commands that hang; exit code 1 if there is one.

Expected for 200: 0 of each; about 10 minutes on two cores.
"""

import collections
import contextlib
import pathlib
import sys
import tempfile

import numpy as np
from absl import flags

from experiments.selfchecks import children, fault_judging, fault_subjects, fault_trials
from robust_jax import report
from robust_jax.commands.shared import common, recording
from robust_jax.core import checks

_FAULTS = flags.DEFINE_integer("faults", 200, "How many trials.")
_ONLY = flags.DEFINE_list(
    "only", None, "Subjects or kinds of faults, such as evaluate,flip; default: all."
)
_IMPORTED = (
    "robust_jax.commands.shared.recording", "robust_jax.commands.shared.distances",
    "robust_jax.evaluate",
    "robust_jax.report.figures", "robust_jax.train", "orbax.checkpoint",
)  # fmt: skip


def main(argv: list[str]) -> None:
    """Tries, prints the table, writes record and page."""
    checks.positive_integer("faults", _FAULTS.value)
    pairs = _pairs()
    run = recording.Run("faults")
    counts: dict[tuple[str, str], collections.Counter[str]] = {}
    trials = []
    with (
        tempfile.TemporaryDirectory(prefix="faults") as folder,
        contextlib.closing(children.Children(_IMPORTED)) as server,
    ):
        names = {subject for subject, _ in pairs}
        runner = fault_trials.TrialRunner(server, pathlib.Path(folder), names)
        with common.counted(_FAULTS.value, "faults", "fault") as bar:
            for number in range(_FAULTS.value):
                rng = np.random.default_rng((common.SEED.value, number))
                subject, kind = pairs[number % len(pairs)]
                trial = runner.trial(subject, kind, rng)
                trials.append({"subject": subject, "kind": kind, **trial})
                counter = counts.setdefault((subject, kind), collections.Counter())
                counter.update([trial["ended"], *trial["found"]])
                bar.update()
    run.rows = [_row(*pair, counter) for pair, counter in sorted(counts.items())]
    run.series = {"trials": trials}
    print(report.for_terminal(run.rows))
    _finish(run)


def _pairs() -> list[tuple[str, str]]:
    """Subjects and kinds that are asked for, mixed."""
    pairs = [
        (subject.name, kind)
        for kind in fault_trials.KINDS
        for subject in fault_subjects.SUBJECTS
        if kind != "exchange" or subject.others
    ]
    asked = set(_ONLY.value or ())
    for axis in range(2):
        known = {pair[axis] for pair in pairs}
        some = asked & known
        pairs = [pair for pair in pairs if pair[axis] in (some or known)]
        asked -= some
    for name in asked:
        names = [s.name for s in fault_subjects.SUBJECTS]
        checks.known_name("subject or kind", name, [*names, *fault_trials.KINDS])
    return pairs


def _row(subject, kind, counter):
    ended = ("same", "refused")
    trials = sum(counter[name] for name in (*ended, "other"))
    counted = {name: counter[name] for name in (*ended, *fault_judging.BAD)}
    return {"subject": subject, "fault": kind, "trials": trials, **counted}


def _finish(run):
    bad = {name: sum(row[name] for row in run.rows) for name in fault_judging.BAD}
    told = ", ".join(f"{count} {name}" for name, count in bad.items())
    run.notes = [
        "{subject}, {kind}: {what}: {found}".format(**trial)
        for trial in run.series["trials"]
        if trial["found"]
    ]
    run.save("Faults", f"{_FAULTS.value} faults: {told}.")
    if any(bad.values()):
        print(f"error: {told}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    common.run_main(main)
