"""Do the intriguing properties of neural networks show here, and by how much?

    python -m experiments.studies.properties --study=overview
    python -m experiments.studies.properties --study=transfer \
        --dataset=mnist --data_dir=DATA

The studies of Szegedy et al., "Intriguing properties of neural networks" (ICLR 2014),
and of the works around it: errors, of adversarial examples; meaning, of what units and
spaces hold; overview, or all, are both. Each prints its tables, draws its figures, and
holds what it found to its gates (`gates.GATES`); `--check` exits with 1 if one fails.
`--paper` puts the paper's numbers beside ours, those from memory or second hand marked.

All gates of the digits hold for seeds 0, 1 and 2. README.md tells which of MNIST's do,
and how long it takes.
"""

import sys
import time
from collections.abc import Sequence

import numpy as np
from absl import flags

from experiments.studies.properties import gates, studies
from experiments.studies.properties.image_changes import LEAST_FRAMES
from experiments.studies.properties.nets import Nets
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import common, recording
from robust_jax.datasets import Dataset

_GROUPS = {
    "all": studies.STUDIES,
    "overview": studies.STUDIES,  # The page of the whole story.
    "errors": studies.ERRORS,
    "meaning": studies.MEANING,
}
_STUDY = flags.DEFINE_enum(
    "study", "all", [*_GROUPS, *studies.STUDIES], "What to look at."
)
_DATASET = flags.DEFINE_enum("dataset", "digits", ["digits", "mnist"], "On what.")
_FRAMES = flags.DEFINE_string(
    "frames",
    None,
    "A clip that `invariance` looks at too: a directory of images of the data set's "
    "size, one for each frame, or a NumPy file [T, H, W, C].",
)
_CHECK = flags.DEFINE_bool("check", False, "Exit with 1 if a gate fails.")
_PAPER = flags.DEFINE_bool("paper", True, "Show the paper's numbers beside ours.")
_NETS = flags.DEFINE_string(
    "nets", None, "Directory where trained nets are kept for later runs; default: none."
)


def main(argv: list[str]) -> None:
    """Runs the studies in turn, prints, writes, checks."""
    setting, run = _setting(), recording.Run("properties")
    names = list(_GROUPS.get(_STUDY.value, [_STUDY.value]))
    values: dict[str, dict[str, float]] = {}
    with common.counted(len(names), "studies", "study") as bar:
        for name in names:
            begun = time.perf_counter()
            values[name] = studies.STUDIES[name](setting, run)
            took = time.perf_counter() - begun
            run.series.setdefault("seconds", {})[name] = took
            run.series.setdefault("values", {})[name] = values[name]
            run.rows = gates.judged(setting.dataset, list(values), values)
            run.write(*_page(setting, run))  # What is done stays if the rest is not.
            bar.update()
    title, summary, columns = _page(setting, run)
    print(f"\n{report.for_terminal(run.rows, columns)}")
    failed = _failed(run)
    run.notes += [f"The gate on {value!r} does not hold." for value in failed]
    run.save(title, summary, columns)
    if failed and _CHECK.value:
        print(f"error: {len(failed)} gates do not hold", file=sys.stderr)
        sys.exit(1)


def _page(
    setting: Setting, run: recording.Run
) -> tuple[str, str, Sequence[report.Column]]:
    """Title, summary and columns as far as the run has come."""
    asked = [row for row in run.rows if row["passed"] is not None]
    return (
        f"Intriguing properties of neural networks, on {setting.dataset}",
        f"{len(asked) - len(_failed(run))} of {len(asked)} gates hold; seed "
        f"{setting.seed}, {len(setting.training):,} training images.",
        gates.columns(setting.paper),
    )


def _failed(run: recording.Run) -> list[str]:
    return [row["value"] for row in run.rows if row["passed"] is False]


def _setting() -> Setting:
    dataset, seed = _DATASET.value, common.SEED.value
    training, validation, test = (
        common.load(dataset, split) for split in ("train", "validation", "test")
    )
    nets = Nets(dataset, seed, training, validation, _NETS.value)
    return Setting(dataset, seed, training, test, nets, _PAPER.value, _clip(test))


def _clip(test: Dataset) -> np.ndarray | None:
    """The user's frames, if there are any."""
    if _FRAMES.value is None:
        return None
    clip, shape = analysis.load_frames(_FRAMES.value), test.images.shape[1:]
    if clip.shape[1:] != shape or len(clip) < LEAST_FRAMES:
        raise ValueError(
            f"frames={_FRAMES.value}: {len(clip)} of shape {clip.shape[1:]}; expected "
            f"at least {LEAST_FRAMES} of the data set's, {shape}"
        )
    return clip


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    common.run_main(main)
