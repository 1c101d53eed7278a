"""Do the gradients of robust nets look like the image? Saliency alignment."""

from typing import Any

import jax
import numpy as np

from experiments.studies.properties.nearest import percent
from experiments.studies.properties.pgd import attacked
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording

_MOST, _SHOWN = 500, 8
_COLUMNS = (
    report.Column("net", "net"),
    report.Column("alpha", "alpha", report.fixed(3)),
    report.Column("cosine", "cosine", report.fixed(4)),
    report.Column("error", "error %", percent),
    report.Column("robust_error", "error under PGD %", percent),
)


def align(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Alignment of plain and robust CNN, and their saliency maps."""
    data = setting.shown(_MOST)
    images, labels = data.pixels(), data.labels
    rows: list[dict[str, Any]] = []
    pictures = [("image", images[:_SHOWN])]
    for name in ("cnn", "cnn_robust"):
        net = setting.nets[name]
        found = jax.jit(
            jax.vmap(lambda x, y, f=net.logits_fn: analysis.alignment(f, x, y))
        )(images, labels)
        _, shown = attacked(setting, name)
        wrong = analysis.predictor(net.logits_fn)(shown) != labels
        rows.append(
            {
                "net": net.title,
                "alpha": float(found.alpha.mean()),
                "cosine": float(found.cosine.mean()),
                "error": setting.nets.error(name, data),
                "robust_error": float(wrong.mean()),
            }
        )
        maps = jax.vmap(
            lambda x, y, f=net.logits_fn: analysis.margin_gradient(f, x, y)
        )(images[:_SHOWN], labels[:_SHOWN])
        pictures.append((net.title, _shades(np.asarray(maps))))
    run.table(
        "Alignment of gradient and image",
        "alpha: |<x, g>| / |g|, g the gradient of the margin; cosine: over |x| also. "
        f"Means of {len(data)} test images.",
        rows,
        _COLUMNS,
    )
    title = "Gradients of the margin"
    path = run.figure("align", title, "Bright: more ink speaks for the class; grey: 0.")
    report.plots.image_rows(path, pictures, title)
    plain, robust = rows
    return {
        "cosine, robust / plain": robust["cosine"] / plain["cosine"],
        "robust error, robust / plain": robust["robust_error"] / plain["robust_error"],
    }


def _shades(maps: np.ndarray) -> np.ndarray:
    most = np.abs(maps).max(axis=(1, 2, 3), keepdims=True)
    return 0.5 + 0.5 * maps / np.maximum(most, np.finfo(float).tiny)
