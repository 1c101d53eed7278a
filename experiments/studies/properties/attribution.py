"""Which pixels matter: six methods, and whether attacks change what they say."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from experiments.studies.properties import saliency_maps
from experiments.studies.properties.nets import Net
from experiments.studies.properties.pgd import attacked
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording
from robust_jax.core.types import Array

_IMAGES, _SHOWN = 100, 4


def attribution(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Completeness, and rank correlation of maps before and after a change."""
    data = setting.shown(_IMAGES)
    images, labels = data.pixels(), data.labels
    keys = jax.random.split(jax.random.key(setting.seed), len(data))
    rng, rows, values = setting.rng("attribution"), [], {}
    for name in ("cnn", "cnn_robust"):
        net = setting.nets[name]
        moved = attacked(setting, name)[1][: len(data)]
        size = float(np.mean(analysis.distortion(moved, images)))
        noisy = analysis.noise_of_size(images, size, rng)
        kept = np.asarray(
            analysis.predictor(net.logits_fn)(images) == labels
        )  # Of what it gets wrong a map explains another class.
        for title, method in saliency_maps.methods(net, setting).items():
            found = [_maps(method, x, labels, keys) for x in (images, moved, noisy)]
            alike = [_alike(found[0][kept], other[kept]) for other in found[1:]]
            rows.append(
                {
                    "net": net.title,
                    "method": title,
                    "attacked": alike[0],
                    "noise of equal size": alike[1],
                }
            )
        values[f"completeness error, {name}"] = _gap(net, images, labels)
        _draw(run, setting, net, images[:_SHOWN], labels[:_SHOWN], keys[:_SHOWN])
    run.table(
        "Do attributions stay when the image is changed?",
        f"Spearman's rank correlation of a map and that of the changed image, mean of "
        f"{len(data)} test images less those that the net gets wrong; Linf "
        f"{setting.eps:g}, by PGD on the class.",
        rows,
    )
    return values


def _maps(
    method: saliency_maps.Method, images: np.ndarray, labels: np.ndarray, keys: Array
) -> np.ndarray:
    return np.asarray(jax.jit(jax.vmap(method))(images, labels, keys))


def _alike(maps: np.ndarray, others: np.ndarray) -> float:
    pairs = [(a.ravel(), b.ravel()) for a, b in zip(maps, others, strict=True)]
    varied = [(a, b) for a, b in pairs if np.ptp(a) > 0 and np.ptp(b) > 0]
    return float(np.mean([stats.spearmanr(a, b).statistic for a, b in varied]))


def _gap(net: Net, images: np.ndarray, labels: np.ndarray) -> float:
    """The largest error of completeness, over the score's change."""

    def gap(x: Array, label: Array) -> Array:
        def score(x: Array) -> Array:
            return net.logits_fn(x)[label]

        whole = score(x) - score(jnp.zeros_like(x))
        total = analysis.integrated_gradients(score, x, steps=256).sum()
        return jnp.abs(total - whole) / jnp.maximum(jnp.abs(whole), 1)

    return float(np.max(jax.jit(jax.vmap(gap))(images, labels)))


def _draw(run, setting, net, images, labels, keys):
    rows = []
    methods = saliency_maps.methods(net, setting)
    found = [_maps(method, images, labels, keys) for method in methods.values()]
    for i, image in enumerate(images):
        colours = [report.plots.signed(each[i]) for each in found]
        picture = np.broadcast_to(image, (*image.shape[:2], 3))
        rows.append((f"image {i}", np.stack([picture, *colours])))
    title = f"Which pixels matter to {net.title}"
    about = "Red speaks for the class, blue against it; each map by its largest value."
    path = run.figure(f"attribution_{net.title[-3:].strip()}", title, about)
    columns = ["image", *(name.replace(" ", "\n") for name in methods)]
    report.plots.image_rows(path, rows, title, columns=columns)
