"""What a net misses when a part of the image is covered. Zeiler & Fergus (2014)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.properties import cnn_layers
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording
from robust_jax.core.types import Array

_IMAGES, _SHOWN = 100, 6
_INK, _BLANK = 0.2, 0.01  # mean pixel under a window


class _Map(NamedTuple):
    ink: np.ndarray  # [R, C], under each window
    margin: np.ndarray  # [R, C], the label's logit less the best other
    likely: np.ndarray  # [R, C], probability of the label
    answers: np.ndarray  # [R, C]
    active: np.ndarray  # [R, C], sum of the channel that the whole image excites most


def occlude(setting: Setting, run: recording.Run) -> dict[str, float]:
    """The paper's maps, and what ink under the window does to the margin."""
    size, stride = (3, 1) if setting.is_small else (7, 2)
    data, net = setting.shown(_IMAGES), setting.nets["pooled"]
    images, shape = data.pixels(), data.images.shape[1:]
    layer = cnn_layers.active(cnn_layers.of_cnn(net, shape)["conv2"])
    outputs = jax.jit(lambda x: (jax.vmap(net.logits_fn)(x), layer(x).sum(axis=(1, 2))))

    def scores(x: Array) -> Array:
        return jnp.concatenate(outputs(x), axis=1)

    found = []
    for image, label in zip(images, data.labels, strict=True):
        whole = np.asarray(outputs(image[None])[1])[0]
        made = analysis.occlude(scores, image, size, stride, 0.0)
        found.append(_map(made, image, int(label), int(whole.argmax()), size, stride))
    ink, margin, likely = (
        np.concatenate([getattr(m, name).ravel() for m in found])
        for name in ("ink", "margin", "likely")
    )
    values = {
        "correlation of ink and margin": float(np.corrcoef(ink, margin)[0, 1]),
        "probability, blank less ink": float(
            likely[ink < _BLANK].mean() - likely[ink > _INK].mean()
        ),
    }
    run.table(
        "A window of background slid over images",
        f"{len(images)} test images, windows of {size}x{size} px, every {stride}. Ink: "
        f"windows whose mean is above {_INK:g}; blank: below {_BLANK:g}. The paper "
        "tells of its maps in words.",
        [
            {
                "windows": len(ink),
                "probability of the label over ink": likely[ink > _INK].mean(),
                "over blank": likely[ink < _BLANK].mean(),
                "correlation of ink and margin": values[
                    "correlation of ink and margin"
                ],
            }
        ],
    )
    _draw(run, images[:_SHOWN], found[:_SHOWN])
    return values


def _map(made, image, label, channel, size, stride):
    logits, active = made.scores[..., :10], made.scores[..., 10 + channel]
    others = np.delete(logits, label, axis=-1).max(axis=-1)
    likely = np.asarray(jax.nn.softmax(logits))[..., label]
    ink = analysis.ink_under(image, size, stride)
    return _Map(ink, logits[..., label] - others, likely, logits.argmax(-1), active)


def _draw(run, images, found):
    rows = []
    for i, (image, each) in enumerate(zip(images, found, strict=True)):
        active = each.active / max(each.active.max(), 1e-12)
        maps = [report.plots.shaded(m) for m in (active, each.likely)]
        answers = report.plots.shaded(each.answers / 9)
        side = max(m.shape[0] for m in (image, *maps))
        pictures = [np.broadcast_to(image, (*image.shape[:2], 3)), *maps, answers]
        rows.append((f"image {i}", np.stack([_grown(p, side) for p in pictures])))
    title = "Images with a window slid over them"
    about = (
        "The image; by the window's place: the sum of the channel of conv2 that the "
        "whole image excites most, the label's probability (dark is low), the answer "
        "(0 dark to 9 light)."
    )
    columns = ("image", "channel", "label", "answer")
    path = run.figure("occlude", title, about)
    report.plots.image_rows(path, rows, title, columns=columns)


def _grown(picture, side):
    """Each pixel as often as it fits, to one size."""
    at = np.arange(side) * picture.shape[0] // side
    return picture[at][:, at]
