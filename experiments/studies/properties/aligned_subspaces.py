"""How many orthogonal directions are adversarial at once? (Tramer et al., 2017)"""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.properties.nearest import keys
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording

_COUNTS = (1, 4, 16, 64)
_COLUMNS = (
    report.Column("count", "directions"),
    report.Column("adversarial", "adversarial", report.fixed(2)),
    report.Column("transferring", "of these transferring", report.fixed(2)),
    report.Column("share", "share adversarial", report.fixed(3)),
    report.Column("transferring_share", "share transferring", report.fixed(3)),
    report.Column("random", "random: share", report.fixed(3)),
)


def aligned_subspaces(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Steps along k directions aligned with the loss gradient, and random ones."""
    data = setting.shown(200 if setting.is_small else 300)
    images, labels = data.pixels(), data.labels
    eps = 1.0 if setting.is_small else 4.0
    net, other = setting.nets["cnn"], setting.nets["cnn_again"]
    right = (analysis.predictor(net.logits_fn)(images) == labels) & (
        analysis.predictor(other.logits_fn)(images) == labels
    )
    images, labels = images[right], labels[right]
    rows = []
    for count in _COUNTS:
        made = _stepped(net.logits_fn, images, labels, count, eps, setting.seed)
        fools = _wrong(net.logits_fn, made, labels)
        both = fools & _wrong(other.logits_fn, made, labels)
        aside = _random(images, count, eps, setting.rng(f"gaas {count}"))
        rows.append(
            {
                "count": count,
                "adversarial": float(fools.sum(axis=1).mean()),
                "transferring": float(both.sum(axis=1).mean()),
                "share": float(fools.mean()),
                "transferring_share": float(both.mean()),
                "random": float(_wrong(net.logits_fn, aside, labels).mean()),
            }
        )
    _show(run, rows, eps, len(images))
    by = {row["count"]: row for row in rows}
    return {
        "share adversarial, k=1": by[1]["share"],
        "share adversarial, k=4": by[4]["share"],
        "share transferring, k=4": by[4]["transferring_share"],
        "random directions": by[4]["random"],
    }


def _show(
    run: recording.Run, rows: list[dict[str, float]], eps: float, count: int
) -> None:
    run.table(
        "Adversarial directions side by side",
        f"Steps of L2 length {eps:g} along orthonormal directions that share the loss "
        f"gradient equally, from {count} images that both nets get right. Means "
        "by image; transferring: to the net of the other seed. The paper tells of "
        "about 25 dimensions on MNIST (second hand).",
        rows,
        _COLUMNS,
    )
    title = "Orthogonal adversarial directions"
    lines = {
        key: (_COUNTS, [row[key] for row in rows])
        for key in ("adversarial", "transferring")
    }
    path = run.figure(
        "aligned_subspaces", title, "How many of k aligned directions mislead the net."
    )
    report.plots.curves(path, lines, title, "directions k", "adversarial ones")


def _stepped(logits_fn, images, labels, count, eps, seed):
    """Points [N, count, *S] a step along each direction, in the box."""

    def one(key, x, label):
        gradient = -analysis.margin_gradient(logits_fn, x, label)
        made = analysis.aligned_directions(gradient, count, key)
        return jnp.clip(x + eps * made, 0, 1)

    step = jax.jit(jax.vmap(one))
    return np.asarray(step(keys(seed, images, labels), images, labels))


def _random(images, count, eps, rng):
    v = rng.normal(size=(len(images), count, *images.shape[1:]))
    v /= np.sqrt((v**2).sum(axis=(2, 3, 4), keepdims=True))
    return (images[:, None] + eps * v).clip(0, 1).astype(np.float32)


def _wrong(logits_fn, points, labels):
    answers = analysis.predictor(logits_fn)(points.reshape(-1, *points.shape[2:]))
    return answers.reshape(points.shape[:2]) != labels[:, None]
