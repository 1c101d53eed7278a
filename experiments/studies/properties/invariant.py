"""Do nets grow invariant with depth and training? Goodfellow et al. (2009)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.properties import cnn_layers, image_changes
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording
from robust_jax.core.types import Array

_MOST = 2_000  # images
_WIDEST = 400  # units of a layer, drawn
_RATE, _BEST = 0.01, 0.2

Layers = dict[str, Callable[[Array], Array]]


def invariant(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Scores of layers, trained and not, under four kinds of change; gratings."""
    images, nets = setting.shown(_MOST).pixels(), setting.nets
    shape = images.shape[1:]
    shown = {"pixels": _units(setting, {"pixels": lambda x: x})}
    for name, of in (("fc100", cnn_layers.of_dense), ("pooled", cnn_layers.of_cnn)):
        for net in (nets[name], nets.untrained(name)):
            shown[net.title] = _units(setting, of(net, shape))
    found = {
        kind: {title: _scores(units, moved) for title, units in shown.items()}
        for kind, moved in image_changes.of(setting, images).items()
    }
    _tell(setting, run, found)
    _gratings(setting, run, shown)
    dense, cnn = nets["fc100"].title, nets["pooled"].title
    values = {}
    for title, layer in ((dense, "layer 1"), (cnn, "conv2")):
        trained, not_ = (
            found["shift"][t][layer] for t in (title, f"{title}, untrained")
        )
        values[f"{layer} by shift, trained / untrained"] = trained / not_
    by_depth = [found["shift"][cnn][layer] for layer in ("conv1", "conv2", "fc1")]
    values["least gain with depth, by shift"] = float(np.diff(by_depth).min())
    return values


class _Units(NamedTuple):
    """Some units of all layers of a net, which one pass gives side by side."""

    features_fn: Callable[[Array], Array]
    places: dict[str, slice]  # of each layer


def _units(setting: Setting, layers: Layers) -> _Units:
    shape, places, first = setting.test.images.shape[1:], {}, 0
    chosen = []
    for name, features_fn in layers.items():
        one = jax.ShapeDtypeStruct((1, *shape), np.float32)
        width = int(np.prod(jax.eval_shape(features_fn, one).shape))
        chosen.append(setting.rng(name).permutation(width)[:_WIDEST])
        places[name] = slice(first, first + len(chosen[-1]))
        first = places[name].stop

    def all_of_them(x: Array) -> Array:
        flat = (f(x).reshape(len(x), -1) for f in layers.values())
        return jnp.concatenate(
            [y[:, at] for y, at in zip(flat, chosen, strict=True)], axis=1
        )

    return _Units(all_of_them, places)


def _scores(units: _Units, moved: list[np.ndarray]) -> dict[str, float]:
    """Of each layer of a net; the images unchanged are in the middle of `moved`."""
    seen = [analysis.features(units.features_fn, images) for images in moved]
    made = analysis.invariance(seen[len(seen) // 2], seen, _RATE)
    return {
        name: analysis.network_invariance(made.scores[at], _BEST)
        for name, at in units.places.items()
    }


def _tell(setting, run, found):
    rows = [
        {"net": net, "layer": layer}
        | {kind: f"{nets[net][layer]:.1f}" for kind, nets in found.items()}
        for net, layers in found["shift"].items()
        for layer in layers
    ]
    pixels = 1 if setting.is_small else 3
    run.table(
        "Invariance scores",
        f"Mean of the best {100 * _BEST:g} % of a layer's units before the "
        f"nonlinearity; {1 / _RATE:g} is the most. Shift: sideways within {pixels} px; "
        "rotation within 15 degrees, scale within 1.2, turn in depth of strokes made "
        "bodies within 30 degrees. Pixels have no training. The paper's "
        "(from memory, unverified): a convolutional deep belief net's two layers, 15.2 "
        "and 23.0 for shifts of natural images.",
        rows,
    )
    title = "Invariance of layers to a shift"
    lines = {
        net: (range(1, len(layers) + 1), list(layers.values()))
        for net, layers in found["shift"].items()
        if len(layers) > 1
    }
    path = run.figure("invariance", title, "Layers from the input up; see the table.")
    report.plots.curves(path, lines, title, "layer", "invariance score")


def _gratings(setting: Setting, run: recording.Run, shown: dict[str, _Units]) -> None:
    side = setting.test.images.shape[1]
    waves = (1, 2, 3) if setting.is_small else analysis.FREQUENCIES
    rows = []
    for net, units in shown.items():
        made = analysis.grating_test(units.features_fn, side, side, frequencies=waves)
        for layer, at in units.places.items():
            scores = {
                kind: f"{analysis.network_invariance(part.scores[at], _BEST):.1f}"
                for kind, part in zip(made._fields, made, strict=True)
            }
            rows.append({"net": net, "layer": layer} | scores)
    run.table(
        "Invariance to the phase and the angle of gratings",
        f"Gratings of {', '.join(map(str, waves))} waves across the image. The "
        "paper's (from memory, unverified): two layers, phase 68.7 and 95.3, angle "
        "52.3 and 77.8.",
        rows,
    )
