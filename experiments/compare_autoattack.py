"""Does our plan give the verdicts of AutoAttack's reference code, and how fast?

    make peers
    JAX_PLATFORMS=cpu python -m experiments.compare_autoattack --norm=linf --eps=0.3 \
        --checkpoint=fastadv.safetensors --count=500 --repetitions=3

The reference's standard evaluation and each of --plans attack the same images, all that
the net gets right, in turn, seed after seed, on the CPU with the same number of
threads. All adversarial images are judged by the same audit. Cost is in forwards, a
backward being two, per attacked image; an image that stays robust costs the reference
11,677, and ours what the record says. Compilation is timed apart, by a first
evaluation of one image.

A busy machine is unfair to PyTorch, whose threads spin while they wait: let nothing
else run where seconds matter.
"""

import os

from absl import flags

from experiments import common, recording
from experiments.peers import child, problem as problems, whole
from experiments.peers.libraries import Libraries
from robust_jax import models, report, threats
from robust_jax.core import checks
from robust_jax.evaluate import plans

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "out/train/model.safetensors", "A fast_cnn, as models.save writes it."
)
_DATASET = flags.DEFINE_string(
    "dataset", None, "Default: the data set that the net was trained on."
)
_COUNT = flags.DEFINE_integer("count", 100, "The first so many test images.")
_NORM = flags.DEFINE_enum("norm", "linf", ["linf", "l2", "l1"], "Of the threat.")
_EPS = flags.DEFINE_float("eps", None, "Radius, pixel units of [0, 1].", required=True)
_PLANS = flags.DEFINE_list("plans", ["standard"], "Ours: standard, swift, ...")
_REPETITIONS = flags.DEFINE_integer("repetitions", 3, "Runs of each, seed after seed.")
_BATCH = flags.DEFINE_integer("batch", 250, "Of the reference.", lower_bound=1)
_PEERS_PYTHON = flags.DEFINE_string(
    "peers_python", ".venv-peers/bin/python", "Interpreter that `make peers` set up."
)

_COLUMNS = (
    report.Column("evaluation", "evaluation"),
    report.Column("mean", "robust, mean [%]", report.fixed(2)),
    report.Column("robust_accuracy", "median [95 %]"),
    report.Column("counts", "robust, each seed"),
    report.Column("only_ours", "only ours"),
    report.Column("only_theirs", "only theirs"),
    report.Column("outside", "outside"),
    report.Column("cost", "cost", report.fixed(0)),
    report.Column("seconds", "median [s]", report.fixed(1)),
    report.Column("ratio", "to theirs", report.fixed(2)),
    report.Column("first", "first, 1 image [s]", report.fixed(1)),
)


def main(argv: list[str]) -> None:
    """Runs all sides in turn, judges them, prints the table, writes the record."""
    _check_flags()
    checkpoint = models.load(_CHECKPOINT.value)
    data = common.load_for(checkpoint, _DATASET.value, "test", _COUNT.value)
    threat = threats.by_name(_NORM.value)(_EPS.value)
    problem = problems.pose(_CHECKPOINT.value, checkpoint, data, threat)
    run = recording.Run("compare_autoattack")
    with Libraries(_PEERS_PYTHON.value, problems.arrays(checkpoint, problem)) as peers:
        seeds = range(common.SEED.value, common.SEED.value + _REPETITIONS.value)
        match = whole.Match(problem, peers, _PLANS.value, seeds, _BATCH.value)
        run.rows = match.rows()
        versions = f"pyautoattack {peers.versions['autoattack']}"
        run.notes = [
            f"{len(problem.images)} of {problem.total} images are attacked, the others "
            f"are lost already; {peers.threads} threads on either side; load average "
            f"at the end {os.getloadavg()[0]:.1f}; {versions}, torch "
            f"{peers.versions['torch']}, batches of {_BATCH.value}."
        ]
    print(report.format_table(run.rows, _COLUMNS))
    print(run.notes[0])
    run.save(
        f"Our plans beside AutoAttack: {_CHECKPOINT.value}",
        f"{data.name} test, n = {len(data)}, {_NORM.value} eps={_EPS.value:g}; "
        f"{_REPETITIONS.value} seeds.",
        _COLUMNS,
    )


def _check_flags() -> None:
    checks.eps(_NORM.value, _EPS.value)
    checks.positive_number("eps", _EPS.value)
    checks.positive_integer("repetitions", _REPETITIONS.value)
    for plan in _PLANS.value:
        plans.by_name(plan, _NORM.value)
    child.check_on_cpu()
    child.check_installed(_PEERS_PYTHON.value)


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    common.run_main(main)
