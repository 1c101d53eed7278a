"""Worst case and average case: accuracy against changes of equal size."""

import numpy as np

from experiments.studies.properties.pgd import STEPS, pgd
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report, threats
from robust_jax.commands.shared import recording

_SIZES = (0.0, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3)  # rms


def stability(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Curves of accuracy: noise, and the worst case in an L2 ball of that size."""
    data = setting.shown(200)
    pixels, rng = data.pixels(), setting.rng("stability")
    root = float(np.prod(pixels.shape[1:])) ** 0.5
    noise = [analysis.noise_of_size(pixels, size, rng) for size in _SIZES]
    lines, rows = {}, []
    for name in ("fc100", "cnn", "cnn_robust"):
        net = setting.nets[name]
        predict = analysis.predictor(net.logits_fn)
        average = [float((predict(x) == data.labels).mean()) for x in noise]
        worst = []
        for size in _SIZES:
            threat = threats.L2(size * root)
            shown = pgd(setting, net.logits_fn, data, threat)
            worst.append(float((predict(shown) == data.labels).mean()))
        lines[f"{net.title}, noise"] = (_SIZES, average)
        lines[f"{net.title}, worst case"] = (_SIZES, worst)
        for size, a, w in zip(_SIZES, average, worst, strict=True):
            row = {"net": net.title, "size": size, "noise": a, "worst": w}
            rows.append(row)
    run.table(
        "Accuracy against changes of equal size",
        "Size: root mean square over pixels of every image. Worst case: PGD of "
        f"{STEPS} steps in the L2 ball; {len(data)} test images.",
        [row for row in rows if row["size"] in (0.0, 0.04, 0.1, 0.2)],
    )
    run.series["stability"] = rows
    title = "Accuracy: noise, and the worst case of equal size"
    path = run.figure("stability", title, "A line for each net and kind of change.")
    report.plots.curves(path, lines, title, "root mean square over pixels", "accuracy")
    return {}
