"""How steep can a net be, and how steep is it? Szegedy et al. (2014), Table 5."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.properties.nearest import distances
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording

_POINTS = 9  # On each segment from an image to its adversarial one.
_CLEVER = 20
# AlexNet's bounds, second hand; shapes from memory. The convolutions' may be low by
# their stride, since the printed formula is.
_PAPERS = "2.75, 10, 7, 7.5, 11, 3.12, 4, 4 (AlexNet: conv1 to conv5, fc1 to fc3)"


def spectral(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Norms of the layers, their product, slopes in the data; CLEVER."""
    values = {"product / largest Jacobian": np.inf, "largest Jacobian / slope": np.inf}
    layers, wholes = [], []
    for name in ("fc100", "cnn", "cnn_robust"):
        net = setting.nets[name]
        shape = setting.test.images.shape[1:]
        key = jax.random.key(setting.seed)
        norms = analysis.layer_norms(net.module, net.variables, shape, key)
        layers += [{"net": net.title, **norm._asdict()} for norm in norms]
        product = analysis.product_bound(net.module, norms)
        slopes = _slopes(setting, name)
        wholes.append({"net": net.title, "product": product, **slopes})
        ratio = product / slopes["jacobian"]
        values["product / largest Jacobian"] = min(
            values["product / largest Jacobian"], ratio
        )
        ratio = slopes["jacobian"] / slopes["slope"]
        values["largest Jacobian / slope"] = min(
            values["largest Jacobian / slope"], ratio
        )
    papers = f" The paper's, from a transcription: {_PAPERS}." if setting.paper else ""
    run.table(
        "Norms of the layers (the form of Szegedy et al., Table 5)",
        "Norm: by power iteration for convolutions; bound: by the Fourier transform."
        + papers,
        layers,
    )
    run.table(
        "Slopes of whole nets, L2 to L2",
        "Product: an upper bound. Jacobian: the largest norm seen on the segments from "
        "images to their nearest adversarial ones. Slope: the largest seen from end to "
        "end.",
        wholes,
    )
    values |= _clever(setting, run)
    return values


def _slopes(setting: Setting, name: str) -> dict[str, float]:
    net, images, moved = (
        setting.nets[name],
        setting.attacked().pixels(),
        setting.moved(name),
    )
    found = distances(moved, images) > 0  # NaN where none was found.
    images, moved = images[found], moved[found]
    shares = np.linspace(0, 1, _POINTS).reshape(-1, *[1] * images.ndim)
    points = (images + shares * (moved - images)).reshape(-1, *images.shape[1:])
    norms = analysis.features(
        lambda x: jax.vmap(lambda one: analysis.jacobian_norm(net.logits_fn, one))(x)[
            :, None
        ],
        points.astype(np.float32),
    )
    logits = analysis.features(jax.vmap(net.logits_fn), np.concatenate([images, moved]))
    before, after = np.split(logits, 2)
    lengths = np.linalg.norm((moved - images).reshape(len(images), -1), axis=1)
    steep = np.linalg.norm(after - before, axis=1) / lengths
    return {"jacobian": float(norms.max()), "slope": float(steep.max())}


def _clever(setting: Setting, run: recording.Run) -> dict[str, float]:
    """CLEVER scores beside the distances that L-BFGS finds."""
    data = setting.attacked().take(np.arange(_CLEVER))
    images = data.pixels()
    root = float(np.prod(images.shape[1:])) ** 0.5
    rows, values, points = [], {}, {}
    for name in ("fc10_1e-4", "cnn"):
        net = setting.nets[name]
        found = root * distances(setting.moved(name)[:_CLEVER], images)
        scores = [
            analysis.clever(
                net.logits_fn, jnp.asarray(x), int(label), int(goal), key,
                batches=20, samples=64, radius=5.0,
            )
            for x, label, goal, key in zip(
                images, data.labels, setting.goals()[:_CLEVER], jax.random.split(
                    jax.random.key(setting.seed), len(images)), strict=True)
        ]  # fmt: skip
        points[net.title] = (found, scores)
        ahead = np.mean(np.asarray(scores) <= found * (1 + 1e-3))
        rows.append(
            {
                "net": net.title,
                "mean CLEVER": float(np.mean(scores)),
                "mean distance": float(np.nanmean(found)),
                "share not above": float(ahead),
            }
        )
        values[f"CLEVER below the distance, {name}"] = float(ahead)
    run.table(
        "CLEVER beside minimal distances, L2",
        f"{_CLEVER} images, random wrong classes; 20 batches of 64 points. An estimate "
        "of a lower bound, to hold for most.",
        rows,
    )
    title = "CLEVER beside the distance that L-BFGS finds, L2"
    path = run.figure("clever", title, "A lower bound lies below the line y = x.")
    axes = ("distance of the image that L-BFGS finds", "CLEVER score")
    report.plots.points(path, points, title, *axes)
    return values
