"""Is L-BFGS on a batch as near as SciPy's L-BFGS-B image by image, and how much faster?

    python -m experiments.comparisons.compare_lbfgs --checkpoint=DIR/model.safetensors

Szegedy et al. (2014), Sec. 4: the smallest change that makes a net see a given wrong
class, drawn at random. Both follow the same schedule of penalties; SciPy has its own
tolerance or ours, and NumPy's loss and gradient. Distortion is the root mean square
over pixels. Repetitions are interleaved; compilation is counted apart.
"""

import time
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags

from experiments.comparisons.peers import scipy_lbfgs
from robust_jax import attacks, models, report, threats
from robust_jax.commands.shared import common, recording
from robust_jax.core.memo import memoised
from robust_jax.core.metrics import Proportion
from robust_jax.core.types import Attack, Reach
from robust_jax.evaluate import engine

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "out/train/model.safetensors", "A net of sigmoid layers."
)
_COUNT = flags.DEFINE_integer("count", 100, "The first so many test images.")
_TILE = flags.DEFINE_integer("tile", 32, "Images of one program.", lower_bound=1)
_REPETITIONS = flags.DEFINE_integer("repetitions", 3, "Of both.", lower_bound=1)
_FTOL = {"ours": 1e-4, "scipy": 2.2e-9, "scipy, our ftol": 1e-4}

_COLUMNS = (
    report.Column("who", "who"),
    report.Column("success", "reached"),
    report.Column("rms", "mean distortion (rms)", report.fixed(5)),
    report.Column("l2", "mean distance (L2)", report.fixed(4)),
    report.Column("evaluations", "evaluations", report.fixed(0)),
    report.Column("milliseconds", "ms an image, median", report.fixed(2)),
    report.Column("compiling", "compiling [s]", report.fixed(1)),
)


class _Run(NamedTuple):
    seconds: float
    distances: np.ndarray  # inf where the target was not reached
    evaluations: np.ndarray


def main(argv: list[str]) -> None:
    """Runs both on the same images and targets, compares, writes record and page."""
    checkpoint = models.load(_CHECKPOINT.value)
    if not isinstance(checkpoint.module, models.networks.SigmoidMLP):
        wanted = "expected a net of sigmoid layers; train one by recipe fc100_100_10"
        raise ValueError(f"checkpoint={_CHECKPOINT.value}; {wanted}")
    data = common.load_for(checkpoint, None, "test", _COUNT.value)
    run = recording.Run("compare_lbfgs")
    rng = np.random.default_rng(common.SEED.value)
    targets = (data.labels + rng.integers(1, 10, len(data))) % 10
    first = _timed("ours", checkpoint, data, targets).seconds
    runs: dict[str, list[_Run]] = {who: [] for who in _FTOL}
    for _ in range(_REPETITIONS.value):
        for who in _FTOL:
            runs[who].append(_timed(who, checkpoint, data, targets))
    root = float(np.prod(checkpoint.input_shape)) ** 0.5
    run.rows = [_row(who, some, root) for who, some in runs.items()]
    run.rows[0]["compiling"] = first - _median(runs["ours"])
    run.notes = [_note(who, runs) for who in _FTOL if who != "ours"]
    run.show(_COLUMNS)
    of = f"{_CHECKPOINT.value} on {data.name} test, n = {len(data)}, random targets."
    run.save("L-BFGS beside SciPy", of, _COLUMNS)


def _timed(who, *arguments):
    start = time.perf_counter()
    attack = _ours if who == "ours" else _scipys
    distances, evaluations = attack(_FTOL[who], *arguments)
    return _Run(time.perf_counter() - start, distances, evaluations)


def _ours(ftol, checkpoint, data, targets):
    """Distances, inf where the target was not reached, and evaluations."""
    attack, net = _to_the_end(ftol), checkpoint.logits_fn
    images, labels = data.pixels(), data.labels.astype(np.int32)
    logits = np.asarray(jax.vmap(net)(images))
    examples = engine.Examples(images, labels, data.ids, logits)
    goals, rows = [Reach(targets.astype(np.int32))], np.arange(len(data))
    seed, threat = common.SEED.value, threats.L2(np.inf)
    work = engine.Work(examples, rows, goals, 1, threat, seed, stage=0)
    found = engine.Ledger.nothing(len(data), 1)
    queue = engine.Queue(np.ones((len(data), 1), bool))
    layout = engine.Layout(tile=_TILE.value, tiles=1)
    engine.run_stage(attack, net, work, queue, found, layout)
    away = np.full(len(data), np.inf)
    for row, (_, x_adv) in found.x_adv.items():
        away[row] = np.linalg.norm((x_adv - images[row]).ravel())
    return away, found.forwards[:, 0]


@memoised
def _to_the_end(ftol: float) -> Attack:
    """The attack, which its schedule ends and a success does not."""
    attack = attacks.lbfgs(ftol=ftol)
    return attack._replace(done=lambda threat, state: state.i >= attack.steps)


def _scipys(ftol, checkpoint, data, targets):
    params = jax.tree.map(np.asarray, checkpoint.variables["params"])
    images = data.pixels().reshape(len(data), -1).astype(float)
    found = [
        scipy_lbfgs.nearest(scipy_lbfgs.sigmoid_net(params, target), x, ftol=ftol)
        for x, target in zip(images, targets, strict=True)
    ]
    return (np.array(field) for field in zip(*found, strict=True))


def _row(who: str, runs: list[_Run], root: float) -> dict[str, Any]:
    distances = runs[0].distances
    reached = np.isfinite(distances)
    l2 = float(distances[reached].mean()) if reached.any() else None
    return {
        "who": who,
        "ftol": _FTOL[who],
        "success": Proportion(int(reached.sum()), len(reached)),
        "rms": None if l2 is None else l2 / root,
        "l2": l2,
        "evaluations": float(np.mean(runs[0].evaluations)),
        "milliseconds": 1e3 * _median(runs) / len(distances),
        "all": [1e3 * r.seconds / len(distances) for r in runs],
    }


def _median(runs: list[_Run]) -> float:
    return float(np.median([r.seconds for r in runs]))


def _note(who: str, runs: dict[str, list[_Run]]) -> str:
    near, far = runs["ours"][0].distances, runs[who][0].distances
    differ = int((np.isfinite(near) != np.isfinite(far)).sum())
    both = np.isfinite(near) & np.isfinite(far)
    ratio = near[both].sum() / max(far[both].sum(), np.finfo(float).tiny)
    faster = _median(runs[who]) / _median(runs["ours"])
    where = f"mean distortion {ratio:.4f} times as large where both reach the target"
    return f"Beside {who}: {where}, {differ} flags differ, {faster:.1f} times as fast."


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    common.run_main(main)
