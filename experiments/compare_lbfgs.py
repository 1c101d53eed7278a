"""Is L-BFGS on a batch as near as SciPy's L-BFGS-B image by image, and how much faster?

    python -m experiments.compare_lbfgs --checkpoint=DIR/model.safetensors

Szegedy et al. (2014), Sec. 4: the smallest change that makes a net see a given wrong
class, drawn at random. Both follow the same schedule of penalties, with equal memory,
iterations and tolerance; SciPy's loss and gradient are NumPy's. Distortion is the root
mean square over pixels. Repetitions are interleaved; compilation is counted apart.
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import common, recording
from experiments.peers import scipy_lbfgs
from robust_jax import attacks, models, report, threats
from robust_jax.core import drive, lift
from robust_jax.core.metrics import Proportion
from robust_jax.core.types import Reach

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "out/train/model.safetensors", "A net of sigmoid layers."
)
_COUNT = flags.DEFINE_integer("count", 100, "The first so many test images.")
_TILE = flags.DEFINE_integer("tile", 50, "Images of one program.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 2000, "Most evaluations.", lower_bound=1)
_REPETITIONS = flags.DEFINE_integer("repetitions", 3, "Of both.", lower_bound=1)
_FTOL = 1e-6  # SciPy's; ours is bounded by float32: ten roundings.

_COLUMNS = (
    report.Column("who", "who"),
    report.Column("success", "reached"),
    report.Column("rms", "mean distortion (rms)", report.fixed(5)),
    report.Column("l2", "mean distance (L2)", report.fixed(4)),
    report.Column("evaluations", "evaluations", report.fixed(0)),
    report.Column("milliseconds", "ms an image, median", report.fixed(2)),
    report.Column("compiling", "compiling [s]", report.fixed(1)),
)


def main(argv: list[str]) -> None:
    """Runs both on the same images and targets, compares, writes record and page."""
    checkpoint = models.load(_CHECKPOINT.value)
    if not isinstance(checkpoint.module, models.networks.SigmoidMLP):
        raise ValueError(
            f"checkpoint={_CHECKPOINT.value}; expected a net of sigmoid layers; train "
            "one with --recipe=fc100_100_10"
        )
    data = common.load_for(checkpoint, None, "test", _COUNT.value)
    run = recording.Run("compare_lbfgs")
    rng = np.random.default_rng(common.SEED.value)
    targets = (data.labels + rng.integers(1, 10, len(data))) % 10
    first, _ = _timed(_ours, checkpoint, data, targets)
    pairs = [
        (
            _timed(_ours, checkpoint, data, targets),
            _timed(_scipys, checkpoint, data, targets),
        )
        for _ in range(_REPETITIONS.value)
    ]
    ours, theirs = zip(*pairs, strict=True)
    compiling = first - float(np.median([seconds for seconds, _ in ours]))
    run.rows = [_row("ours", ours, compiling), _row("scipy", theirs, None)]
    run.notes = _notes(ours, theirs)
    print(report.format_table(run.rows, _COLUMNS))
    for note in run.notes:
        print(note)
    run.save(
        "L-BFGS beside SciPy",
        f"{_CHECKPOINT.value} on {data.name} test, n = {len(data)}, random targets.",
        _COLUMNS,
    )


def _timed(attack, *arguments):
    start = time.perf_counter()
    found = attack(*arguments)
    return time.perf_counter() - start, found


def _ours(checkpoint, data, targets):
    """Distances, inf where the target was not reached, and evaluations."""
    attack = attacks.lbfgs(_STEPS.value)
    run = lift.in_tiles(drive.hosted(attack, to_the_end=True), tile=_TILE.value)
    keys = lift.item_keys(common.SEED.value, data.ids)
    threat = threats.L2(jnp.inf)
    goal = Reach(targets.astype(np.int32))
    found = run(keys, checkpoint.logits_fn, threat, data.pixels(), goal)
    return np.where(found.margin >= 0, found.distance, np.inf), found.forwards


def _scipys(checkpoint, data, targets):
    params = jax.tree.map(np.asarray, checkpoint.variables["params"])
    images = data.pixels().reshape(len(data), -1).astype(float)
    found = [
        scipy_lbfgs.nearest(scipy_lbfgs.sigmoid_net(params, target), x, ftol=_FTOL)
        for x, target in zip(images, targets, strict=True)
    ]
    return np.array([f.distance for f in found]), [f.evaluations for f in found]


def _row(who: str, runs: Any, compiling: float | None) -> dict[str, Any]:
    distances, evaluations = runs[0][1]
    reached = np.isfinite(distances)
    l2 = float(distances[reached].mean()) if reached.any() else None
    milliseconds = [1e3 * seconds / len(distances) for seconds, _ in runs]
    return {
        "who": who,
        "success": Proportion(int(reached.sum()), len(reached)),
        "rms": None if l2 is None else l2 / _pixels() ** 0.5,
        "l2": l2,
        "evaluations": float(np.mean(evaluations)),
        "milliseconds": float(np.median(milliseconds)),
        "all": milliseconds,
        "compiling": compiling,
    }


def _pixels() -> int:
    return int(np.prod(models.load(_CHECKPOINT.value).input_shape))


def _notes(ours: Any, theirs: Any) -> list[str]:
    (near, _), (far, _) = ours[0][1], theirs[0][1]
    differ = int((np.isfinite(near) != np.isfinite(far)).sum())
    both = np.isfinite(near) & np.isfinite(far)
    ratio = near[both].mean() / far[both].mean() if both.any() else np.nan
    faster = np.median([t[0] for t in theirs]) / np.median([t[0] for t in ours])
    return [
        f"Mean distortion {ratio:.4f} times SciPy's where both reach the target; "
        f"{differ} flags differ.",
        f"{faster:.1f} times as fast an image.",
    ]


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    common.run_main(main)
