"""How small a change suffices? Szegedy et al. (2014), Table 1.

References: Szegedy et al., ICLR 2014. Differs from it in: random wrong classes, since
    the paper names none; decay is lambda / 2 times the squared weights; the
    autoencoder's sparsity is ours.
"""

from typing import Any

import numpy as np

from experiments.studies.properties.nearest import Images, distances, percent
from experiments.studies.properties.nets import TITLES, Net
from experiments.studies.properties.pgd import softmax
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording
from robust_jax.datasets import Dataset

NAMES = ("fc10_1e-4", "fc10_1e-2", "fc10_1", "fc100", "fc200", "ae400")
# Train error, test error, distortion: second hand, of a transcription of the table.
_PAPERS = {
    "fc10_1e-4": (0.067, 0.074, 0.062),
    "fc10_1e-2": (0.10, 0.094, 0.1),
    "fc10_1": (0.212, 0.20, 0.14),
    "fc100": (0.0, 0.0164, 0.058),
    "fc200": (0.0, 0.0154, 0.065),
    "ae400": (0.0057, 0.019, 0.086),
}
_EXACT = 20  # images of the quadratic program
_SHOWN = 8
_COLUMNS = (
    report.Column("net", "net"),
    report.Column("train_error", "train error %", percent),
    report.Column("test_error", "test error %", percent),
    report.Column("distortion", "mean distortion", report.fixed(4)),
    report.Column("exact", "exact", report.fixed(4)),
    report.Column("over_exact", "over exact", report.fixed(3)),
    report.Column("found", "moved"),
    report.Column("papers", "paper's: train, test %, distortion"),
)


def minimal(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Table 1, the distances' histogram, and pairs of images."""
    data = setting.attacked()
    made, values, rows = {}, {}, []
    for name in NAMES:
        made[name] = setting.moved(name)
        exact = _exact(setting.nets[name], data.pixels(), setting.goals(), made[name])
        rows.append(_row(setting, name, made[name], data.pixels(), exact))
    run.table(
        "Minimal distortion (Szegedy et al., Table 1)",
        f"Box-constrained L-BFGS towards a random wrong class, {len(data)} test "
        "images; root mean square over pixels. Exact: a quadratic program, on "
        f"{_EXACT} of them. The paper's numbers are from a transcription.",
        rows,
        _COLUMNS if setting.paper else _COLUMNS[:-1],
    )
    _draw(run, setting, made, data)
    size = {row["name"]: row["distortion"] for row in rows}
    for name in NAMES[:4]:
        title = TITLES[name].replace("-100-10", "")
        values[f"distortion of {title} / paper's"] = size[name] / _PAPERS[name][2]
    values["share of images moved"] = min(row["share"] for row in rows)
    values["distortion, FC10(1e-4) / FC100"] = size["fc10_1e-4"] / size["fc100"]
    for low, high in (("1e-4", "1e-2"), ("1e-2", "1")):
        ratio = size[f"fc10_{high}"] / size[f"fc10_{low}"]
        values[f"distortion, FC10({high}) / FC10({low})"] = ratio
    values["distortion of FC10 / exact"] = max(row["over_exact"] for row in rows[:3])
    return values


def _exact(net: Net, images: Images, goals: np.ndarray, moved: Images) -> Any:
    """Mean exact distortion of an affine net, and ours on the same images over it."""
    if net.module.hidden:
        return None
    last = net.variables["params"]["Dense_0"]
    points = [
        analysis.nearest_of_affine(last["kernel"], last["bias"], x.ravel(), int(goal))
        for x, goal in zip(images[:_EXACT], goals, strict=False)
    ]
    found = distances(np.stack(points), images[:_EXACT].reshape(_EXACT, -1))
    ours = distances(moved[:_EXACT], images[:_EXACT])
    return float(found.mean()), float(np.mean(ours) / found.mean())


def _row(
    setting: Setting, name: str, moved: Images, images: Images, exact: Any
) -> dict[str, Any]:
    found = distances(moved, images)
    train, test, size = _PAPERS[name]
    return {
        "name": name,
        "net": TITLES[name],
        "train_error": setting.nets.error(name, setting.training),
        "test_error": setting.nets.error(name, setting.test),
        "distortion": float(np.nanmean(found)),
        "exact": exact and exact[0],
        "over_exact": exact and exact[1],
        "share": float(np.isfinite(found).mean()),
        "found": f"{np.isfinite(found).sum()} of {len(found)}",
        "papers": f"{percent(train)}, {percent(test)}, {size:g}",
    }


def _draw(
    run: recording.Run, setting: Setting, made: dict[str, Images], data: Dataset
) -> None:
    images = data.pixels()
    title = "Distribution of the minimal distortion"
    path = run.figure("minimal", title, "Root mean square over pixels, by net.")
    sizes = {TITLES[name]: distances(moved, images) for name, moved in made.items()}
    report.plots.histograms(path, sizes, title, "distortion")
    for name in ("fc10_1e-4", "fc100"):
        x_adv = made[name]
        found = np.flatnonzero(np.isfinite(x_adv).all(axis=(1, 2, 3)))[:_SHOWN]
        answers = [
            softmax(setting.nets[name].logits_fn, shown[found])
            for shown in (images, x_adv)
        ]
        title = f"Nearest adversarial images of {TITLES[name]}"
        path = run.figure(
            f"minimal_{name}",
            title,
            "Each for a random wrong class; below, the change.",
        )
        report.figures.adversarial_grid(
            path,
            images[found],
            x_adv[found].clip(0, 1),
            data.labels[found],
            answers[0].argmax(axis=1),
            answers[1].argmax(axis=1),
            title,
            magnify=2,
            confidences=(answers[0].max(axis=1), answers[1].max(axis=1)),
        )
