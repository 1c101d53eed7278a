"""Which pixels matter: six methods, and whether attacks change what they say."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from experiments import recording
from experiments.properties.nets import Net
from experiments.properties.pgd import attacked
from experiments.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.core.types import Array

_IMAGES, _SHOWN, _STEPS = 100, 4, 64
Method = Callable[[Array, Array, Array], Array]  # image, label, key -> [H, W]


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
        for title, method in _methods(net, setting).items():
            maps = [_maps(method, x, labels, keys) for x in (images, moved, noisy)]
            alike = [_alike(maps[0][kept], other[kept]) for other in maps[1:]]
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


def _methods(net: Net, setting: Setting) -> dict[str, Method]:
    shape = setting.test.images.shape[1:]
    names = analysis.layer_names(net.module, shape)
    layer = [name for name in names if "Conv" in name][-1]
    run = analysis.from_layer(net.module, net.variables, layer, shape)
    size = 3 if setting.is_small else 7

    def score(label: Array) -> Callable[[Array], Array]:
        return lambda x: net.logits_fn(x)[label]

    def cam(x: Array, label: Array, key: Array) -> Array:
        maps = run(x[None], jnp.zeros(()))[0]
        steep = jax.grad(lambda shift: run(x[None], shift)[1][0, label])(
            jnp.zeros_like(maps)
        )
        small = analysis.grad_cam(jax.nn.relu(maps[0]), steep[0])
        return jax.image.resize(small, x.shape[:2], "linear")

    def guided(x: Array, label: Array, key: Array) -> Array:
        function = analysis.with_rule(score(label), "guided")
        return jax.grad(function)(x).sum(-1)

    def covers(x: Array, label: Array, key: Array) -> Array:
        """The logit lost by a cover, given to the pixels under it."""
        ones = jnp.ones((size, size))
        base = score(label)(x)
        rows, columns = x.shape[0] - size + 1, x.shape[1] - size + 1

        def lost(place: Array) -> Array:
            cover = jax.lax.dynamic_update_slice(
                x, jnp.zeros((size, size, 1)), (place[0], place[1], 0)
            )
            return base - score(label)(cover)

        places = jnp.stack(jnp.meshgrid(jnp.arange(rows), jnp.arange(columns),
                                        indexing="ij"), -1).reshape(-1, 2)  # fmt: skip
        found = jax.vmap(lost)(places).reshape(1, 1, rows, columns)
        pad = [(size - 1, size - 1)] * 2
        return jax.lax.conv(
            jnp.pad(found, [(0, 0), (0, 0), *pad]), ones[None, None], (1, 1), "VALID"
        )[0, 0]

    return {
        "gradient": lambda x, y, k: jax.grad(score(y))(x).sum(-1),
        "integrated gradients": lambda x, y, k: analysis.integrated_gradients(
            score(y), x, steps=_STEPS
        ).sum(-1),
        "SmoothGrad": lambda x, y, k: analysis.smooth_grad(score(y), x, k).sum(-1),
        "guided": guided,
        "Grad-CAM": cam,
        "occlusion": covers,
    }


def _maps(
    method: Method, images: np.ndarray, labels: np.ndarray, keys: Array
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
        total = analysis.integrated_gradients(score, x, steps=4 * _STEPS).sum()
        return jnp.abs(total - whole) / jnp.maximum(jnp.abs(whole), 1)

    return float(np.max(jax.jit(jax.vmap(gap))(images, labels)))


def _draw(run, setting, net, images, labels, keys):
    rows = []
    methods = _methods(net, setting)
    maps = [_maps(method, images, labels, keys) for method in methods.values()]
    for i, image in enumerate(images):
        colours = [report.plots.signed(each[i]) for each in maps]
        picture = np.broadcast_to(image, (*image.shape[:2], 3))
        rows.append((f"image {i}", np.stack([picture, *colours])))
    title = f"Which pixels matter to {net.title}"
    about = "Red speaks for the class, blue against it; each map by its largest value."
    path = run.figure(f"attribution_{net.title[-3:].strip()}", title, about)
    columns = ["image", *(name.replace(" ", "\n") for name in methods)]
    report.plots.image_rows(path, rows, title, columns=columns)
