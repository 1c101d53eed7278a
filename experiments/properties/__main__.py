"""Do the intriguing properties of neural networks show here, and by how much?

    python -m experiments.properties --study=all --dataset=digits
    python -m experiments.properties --study=transfer --dataset=mnist --data_dir=DATA

The studies of Szegedy et al., "Intriguing properties of neural networks" (ICLR 2014),
and of the works around it. Each prints its tables, draws its figures, and holds what
it found to its gates (`gates.GATES`); `--check` exits with 1 if one fails. `--paper`
puts the paper's numbers beside ours, those from memory or second hand marked so.

On two cores the digits take under 4 minutes with nothing compiled, 3 after that;
all their gates hold for seeds 0, 1 and 2. MNIST takes 17 minutes; with seed 0, 32 of 36
gates hold. README.md has its numbers.
"""

import sys
import time

from absl import flags

from experiments import common, recording
from experiments.properties import gates, studies
from experiments.properties.nets import Nets
from experiments.properties.setting import Setting
from robust_jax import report

_WHOLE = ("all", "overview")  # The page of the whole story has all studies.
_STUDY = flags.DEFINE_enum(
    "study", "all", [*_WHOLE, *studies.STUDIES], "What to look at."
)
_DATASET = flags.DEFINE_enum("dataset", "digits", ["digits", "mnist"], "On what.")
_CHECK = flags.DEFINE_bool("check", False, "Exit with 1 if a gate fails.")
_PAPER = flags.DEFINE_bool("paper", True, "Show the paper's numbers beside ours.")
_NETS = flags.DEFINE_string(
    "nets", None, "Directory where trained nets are kept for later runs; default: none."
)


def main(argv: list[str]) -> None:
    """Runs the studies in turn, prints, writes, checks."""
    setting, run = _setting(), recording.Run("properties")
    names = list(studies.STUDIES) if _STUDY.value in _WHOLE else [_STUDY.value]
    values = {}
    with common.counted(len(names), "studies", "study") as bar:
        for name in names:
            begun = time.perf_counter()
            values[name] = studies.STUDIES[name](setting, run)
            took = time.perf_counter() - begun
            run.series.setdefault("seconds", {})[name] = took
            run.series.setdefault("values", {})[name] = values[name]
            bar.update()
    run.rows = gates.judged(setting.dataset, names, values)
    columns = gates.columns(setting.paper)
    print(f"\n{report.format_table(run.rows, columns)}")
    asked = [row for row in run.rows if row["passed"] is not None]
    failed = [row["value"] for row in asked if not row["passed"]]
    run.notes += [f"The gate on {value!r} does not hold." for value in failed]
    run.save(
        f"Intriguing properties of neural networks, on {setting.dataset}",
        f"{len(asked) - len(failed)} of {len(asked)} gates hold; seed "
        f"{setting.seed}, {len(setting.training):,} training images.",
        columns,
    )
    if failed and _CHECK.value:
        print(f"error: {len(failed)} gates do not hold", file=sys.stderr)
        sys.exit(1)


def _setting() -> Setting:
    dataset, seed = _DATASET.value, common.SEED.value
    training, validation, test = (
        common.load(dataset, split) for split in ("train", "validation", "test")
    )
    nets = Nets(dataset, seed, training, validation, _NETS.value)
    return Setting(dataset, seed, training, test, nets, _PAPER.value)


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    common.run_main(main)
