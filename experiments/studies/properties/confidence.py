"""Are nets sure of their wrong answers? Confidence on clean and changed images."""

from typing import Any

import numpy as np

from experiments.studies.properties.pgd import attacked, softmax
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording
from robust_jax.core.metrics import Proportion

_COLUMNS = (
    report.Column("net", "net"),
    report.Column("shown", "images"),
    report.Column("accuracy", "accuracy [95 %]"),
    report.Column("confidence", "mean confidence", report.fixed(3)),
    report.Column("wrong", "median confidence of wrong answers", report.fixed(3)),
    report.Column("margin", "mean margin", report.fixed(2)),
    report.Column("ece", "calibration error", report.fixed(3)),
)


def confidence(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Softmax and margins of a plain and a robust CNN, and their calibration error."""
    rows, values = [], {}
    for name in ("cnn", "cnn_robust"):
        net = setting.nets[name]
        shown = _shown(setting, name)
        sure, margins = {}, {}
        for kind, (images, labels) in shown.items():
            row, answers = _row(net.logits_fn, images, labels)
            rows.append({"net": net.title, "shown": kind} | row)
            sure[kind], margins[kind] = answers.max(axis=1), _margins(answers, labels)
        _draw(run, name, net.title, sure, margins)
        values[name] = rows[-1]["wrong"]
    run.table(
        "Confidence of right and wrong answers",
        "Confidence: the softmax of the answer. Margin: log odds of the true class "
        "over the best other. Calibration error: expected, 15 bins. Equal noise "
        "changes the images as much as the minimal distortion does.",
        rows,
        _COLUMNS,
    )
    return {"median wrong confidence, plain net": values["cnn"]}


def _shown(setting: Setting, name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    few = setting.attacked()
    images, labels = few.pixels(), few.labels
    moved = setting.moved(name)
    moved = np.where(np.isnan(moved), images, moved)
    size = analysis.distortion(moved, images)
    noise = analysis.noise_of_size(images, size, setting.rng("confidence"))
    many, fixed = attacked(setting, name)
    return {
        "clean": (many.pixels(), many.labels),
        f"noise of {size:.3f}": (noise, labels),
        f"minimal distortion, {size:.3f}": (moved, labels),
        f"PGD, Linf {setting.eps:g}": (fixed, many.labels),
    }


def _row(
    logits_fn: Any, images: np.ndarray, labels: np.ndarray
) -> tuple[dict[str, Any], np.ndarray]:
    answers = softmax(logits_fn, images)
    sure, right = answers.max(axis=1), answers.argmax(axis=1) == labels
    row = {
        "accuracy": Proportion(int(right.sum()), len(right)),
        "confidence": float(sure.mean()),
        "wrong": float(np.median(sure[~right])) if not right.all() else None,
        "margin": float(_margins(answers, labels).mean()),
        "ece": analysis.calibration_error(sure, right),
    }
    return row, answers


def _margins(answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Log odds of the true class over the best other."""
    safe = np.log(np.maximum(answers, np.finfo(np.float32).tiny))
    rows = np.arange(len(labels))
    own = safe[rows, labels]
    safe[rows, labels] = -np.inf
    return own - safe.max(axis=1)


def _draw(
    run: recording.Run,
    name: str,
    net: str,
    sure: dict[str, np.ndarray],
    margins: dict[str, np.ndarray],
) -> None:
    title = f"Confidence of the answers: {net}"
    path = run.figure(
        f"confidence_{name}", title, "Softmax of the answer, right or wrong."
    )
    report.plots.histograms(path, sure, title, "confidence", bins=20)
    title = f"Margins: {net}"
    path = run.figure(f"margins_{name}", title, "Above 0 the answer is right.")
    report.plots.histograms(path, margins, title, "log odds of the true class")
