"""What a unit responds to, sent back to the pixels. Zeiler & Fergus (2014)."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.properties import cnn_layers
from experiments.studies.properties.proposals import framed
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, models, report, train
from robust_jax.commands.shared import recording
from robust_jax.core.types import Array
from robust_jax.train import run_state

_CHANNELS, _TOP = 4, 9
_SHARES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)  # of the steps of training


def deconvolution(setting: Setting, run: recording.Run) -> dict[str, float]:
    """The strongest images of channels of conv2, by three rules; their evolution."""
    net, images = setting.nets["pooled"], setting.test.pixels()
    shape = images.shape[1:]
    layer = cnn_layers.active(cnn_layers.of_cnn(net, shape)["conv2"])
    channels = cnn_layers.most_varying(layer, images[:1000], _CHANNELS)
    size = jax.eval_shape(layer, images[:1]).shape[1:]
    maps = analysis.features(layer, images).reshape(-1, *size)
    strongest = np.argsort(-maps.max(axis=(1, 2)), axis=0, kind="stable")[:_TOP]
    rows, outside = [], 0.0
    field = analysis.receptive_field(cnn_layers.WINDOWS["conv2"])
    back = {
        rule: jax.jit(functools.partial(_sent_back, layer, rule))
        for rule in analysis.RULES
    }
    for channel in channels:
        shown = images[strongest[:, channel]]
        places = [
            np.unravel_index(m[..., channel].argmax(), size[:2])
            for m in maps[strongest[:, channel]]
        ]
        boxes = [field.box(*map(int, place), *shape[:2]) for place in places]
        patches = [framed(x[None], box)[0] for x, box in zip(shown, boxes, strict=True)]
        rows.append((f"channel {channel}", np.stack(patches)))
        for rule, of in back.items():
            made = np.asarray(of(shown, channel))
            rows.append((rule, grey(made)))
            for signal, box in zip(made, boxes, strict=True):
                outside = max(outside, _outside(signal, box))
    title = "What excites channels of conv2 most, and what they respond to there"
    about = (
        "The nine strongest test images, framed: what the unit sees; below, its "
        "activity sent back by three rules; grey is zero."
    )
    report.plots.image_rows(run.figure("deconvolution", title, about), rows, title)
    _evolution(setting, run)
    return {"signal outside the field": outside}


def grey(signals: np.ndarray) -> np.ndarray:
    """Signals of either sign as grey images, each by its own largest value."""
    largest = np.abs(signals).max(axis=(1, 2, 3), keepdims=True)
    return 0.5 + 0.5 * signals / np.maximum(largest, 1e-12)


class Snapshots(run_state.NullCheckpointer):
    """Keeps the weights after some steps of training, in memory."""

    def __init__(self, steps: list[int], every: int) -> None:
        self.every, self._steps = every, set(steps)
        self.weights = dict[int, Any]()

    def save(self, run: run_state.RunState, *, wait: bool) -> None:
        """Copies the weights if their step is asked for."""
        if (step := int(run.state.step)) in self._steps:
            self.weights[step] = jax.tree.map(np.array, run.state.variables)


def _evolution(setting: Setting, run: recording.Run) -> None:
    """The strongest response of channels over the training images, as it grows."""
    recipe = setting.nets.recipe("pooled")
    total = recipe.epochs * recipe.steps_per_epoch(len(setting.training))
    every = max(1, total // 100)
    steps = sorted({every * max(1, round(s * total / every)) for s in _SHARES[:-1]})
    steps.append(total)
    snapshots = Snapshots(steps, every)
    few = setting.test.take(np.arange(50))
    done = train.fit(
        recipe, setting.training, few, seed=setting.seed, checkpointer=snapshots
    )
    images = setting.training.pixels()[:2_000]
    shape, rows = images.shape[1:], []
    net = setting.nets["pooled"]
    last = cnn_layers.active(cnn_layers.of_cnn(net, shape)["conv2"])
    channels = cnn_layers.most_varying(last, images, _CHANNELS)
    strips = _strips(done.module, snapshots, images, channels)
    for channel, strip in zip(channels, np.stack(strips, axis=1), strict=True):
        rows.append((f"channel {channel}", strip))
    title = "Evolution of what channels of conv2 respond to"
    about = (
        "After so many steps of training: the strongest response "
        f"over {len(images):,} training images, sent back by the deconvnet; it jumps "
        "where another image becomes the strongest."
    )
    path = run.figure("evolution", title, about)
    columns = [f"{step:,}" for step in steps]
    report.plots.image_rows(path, rows, title, columns=columns)


def _strips(
    module: models.Classifier, kept: Snapshots, images: np.ndarray, channels: np.ndarray
) -> list[np.ndarray]:
    """For each step the strongest response of each channel, sent back, [C, H, W, 1]."""

    def layer(weights: Any, x: Array) -> Array:
        outputs = analysis.layer_outputs(module, weights, "Conv_1", images.shape[1:])
        return jax.nn.relu(outputs(x))

    peaks_of = jax.jit(lambda weights, x: layer(weights, x).max(axis=(1, 2)))
    back = jax.jit(
        lambda weights, x: _sent_back(
            functools.partial(layer, weights), "deconvnet", x, jnp.asarray(channels)
        )
    )
    found = []
    for step in sorted(kept.weights):
        weights = kept.weights[step]
        tiles = np.array_split(images, max(1, len(images) // 500))
        peaks = np.concatenate([np.asarray(peaks_of(weights, x)) for x in tiles])
        best = images[peaks[:, channels].argmax(axis=0)]
        found.append(grey(np.asarray(back(weights, best))))
    return found


def _sent_back(
    layer: Callable[[Array], Array], rule: str, images: Array, channels: Array
) -> Array:
    return analysis.project(layer, images, analysis.strongest(channels), rule)


def _outside(signal, box):
    """The largest part of a signal beyond a box."""
    rest = np.abs(signal)
    top, left, bottom, right = box
    rest[top:bottom, left:right] = 0
    return float(rest.max())
