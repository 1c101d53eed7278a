"""How robust is a model? Attacks it by a plan, checks and audits what was found.

    robust-jax evaluate --checkpoint=out/train/model.safetensors --eps=0.3
    robust-jax evaluate --plan=swift --eps=0.3 --limit_minutes=10
    robust-jax evaluate --model=python:mynets:net --images=own.npz --eps=0.1

Plans: standard and plus as AutoAttack has them; swift, in Linf as strong as standard at
less than a tenth of its cost; strongest; basic, FGSM and PGD, a first look.
Finished work is kept in OUT/journal until the record is written: the same command
after a kill or Ctrl-C goes on where it was, to the identical result. --limit_minutes
is of the whole command: attacks and checks that were not begun by then are left undone,
and the same command goes on from there.
Exit code 3 if an adversarial example is not one; with --strict also if a check of the
audit raises a flag or the time limit left work undone.
"""

import os
import sys

from absl import flags

from robust_jax import evaluate
from robust_jax.commands.shared import (
    adversary,
    common,
    failures,
    following,
    metrics,
    numbers,
    recording,
    subjects,
)
from robust_jax.evaluate import plans, saving
from robust_jax.evaluate.engine import Limit, journal

for _module in (common, subjects, adversary):
    flags.adopt_module_key_flags(_module)
flags.declare_key_flag("tensorboard")

_SPLIT = flags.DEFINE_enum("split", "test", ["train", "validation", "test"], "Which.")
_COUNT = flags.DEFINE_integer("count", None, "The first so many examples; default all.")
_PLAN = flags.DEFINE_string(
    "plan", "standard", "standard, swift, plus, strongest or basic."
)
_AUDIT = flags.DEFINE_bool("audit", True, "Run the checks of the evaluation.")
_POINTS = flags.DEFINE_integer(
    "points",
    None,
    "Examples that each check looks at; default: for a quarter of the plan's cost, "
    "or some 5,000 forwards where that is more.",
    lower_bound=1,
)
_STRICT = flags.DEFINE_bool("strict", False, "Exit with 3 if a check raises a flag.")
_LIMIT = numbers.DEFINE_number(
    "limit_minutes", None, "Stop after that, with a partial report; all included."
)
_TILE = flags.DEFINE_integer("tile", 64, "Slots of a device program.", lower_bound=1)


def main(argv: list[str]) -> None:
    """Evaluates, prints the table, writes record, examples and page."""
    adversary.threat()  # Bad flags, before anything is loaded.
    plans.by_name(_PLAN.value, adversary.NORM.value)
    if _PLAN.value == "rand":
        raise ValueError("plan=rand is for random nets, and no checkpoint is of one")
    metrics.check_flags()
    limit, layout = Limit(_LIMIT.value), evaluate.Layout(tile=_TILE.value)
    subject = subjects.given(_SPLIT.value, _COUNT.value)
    threat = adversary.threat_on(subject.data)
    run = recording.Run("evaluate")
    result = _evaluated(run, subject, threat, limit, layout)
    print(result)
    print(result.start_up())
    classes = saving.fitting(result, subject.data.classes)
    kept = saving.to_record(result, common.described(subject.data), classes)
    run.rows, run.notes, run.earlier = kept["rows"], kept["notes"], sum(result.earlier)
    run.series = {"checkpoint": subject.metadata, **kept["series"]}
    subject.note_in(run)
    run.add(saving.write_data(result, run.out, classes))
    clean = subject.shown(subject.data.pixels())
    metrics.write_board(run.out, result, clean, recording.flags_given())
    run.save(kept["title"], kept["summary"], saving.COLUMNS)
    if not (result.unfinished or (result.audit and result.audit.undone)):
        journal.remove(run.out / "journal")
    if not result.claims.passed:
        print(f"error: {result.claims}", file=sys.stderr)
    passed = result.passed if _STRICT.value else result.claims.passed
    if result.unfinished:  # A thread may be compiling: nobody waits for it.
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(0 if passed else 3)
    sys.exit(0 if passed else 3)


def _evaluated(run, subject, threat, limit, layout):
    data = subject.data
    left = None if limit.minutes is None else max(limit.left / 60, 1e-9)
    with failures.resumable(), following.Following(run, _PLAN.value) as bar:
        return evaluate.robustness(
            subject.model,
            data.pixels(),
            data.labels,
            threat,
            plan=_PLAN.value,
            ids=data.ids,
            seed=common.SEED.value,
            layout=layout,
            audit=_AUDIT.value,
            points=_POINTS.value,
            name=subject.name,
            journal=run.out / "journal",
            limit_minutes=left,
            on_estimate=lambda estimate: print(estimate, flush=True),
            on_progress=bar,
        )
