"""Do nets grow invariant with depth and training? Goodfellow et al. (2009)."""

from collections.abc import Callable, Iterator

import numpy as np

from experiments import recording
from experiments.properties import stages
from experiments.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.core.types import Array

_MOST = 2_000  # images
_WIDEST = 400  # units of a layer, drawn
_STEPS = 7  # changes of a kind, the unchanged image among them
_RATE, _BEST = 0.01, 0.2
_REACH = 5  # frames on either side
LEAST_FRAMES = 100  # As the paper's clips have.

Layers = dict[str, Callable[[Array], Array]]


def invariant(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Scores of layers, trained and not, under four kinds of change; gratings."""
    images, nets = setting.shown(_MOST).pixels(), setting.nets
    shape = images.shape[1:]
    shown: dict[str, Layers] = {"pixels": {"pixels": lambda x: x}}
    for name, of in (("fc100", stages.of_dense), ("pooled", stages.of_cnn)):
        for net in (nets[name], nets.untrained(name)):
            shown[net.title] = of(net, shape)
    found = {
        kind: {title: _scores(setting, of, moved) for title, of in shown.items()}
        for kind, moved in _changes(setting, images).items()
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


def _changes(setting: Setting, images: np.ndarray) -> dict[str, list[np.ndarray]]:
    """The images after each change of a kind."""
    pixels = 1 if setting.is_small else 3
    turns = np.linspace(-15, 15, _STEPS)
    bodies = analysis.turning_strokes(images, 2 * turns)
    clip = setting.clip
    own = (
        {} if clip is None else {"frames": [*analysis.frame_moves(clip[None], _REACH)]}
    )
    return own | {
        "shift": [analysis.translate(images, 0, d) for d in _steps(pixels)],
        "rotation": [analysis.rotate(images, d) for d in turns],
        "scale": [analysis.scale(images, 1.2**d) for d in _steps(1)],
        "turn in depth": list(bodies.swapaxes(0, 1)),
    }


def _steps(most: float) -> Iterator[float]:
    return iter(np.linspace(-most, most, _STEPS))


def _scores(
    setting: Setting, layers: Layers, moved: list[np.ndarray]
) -> dict[str, float]:
    """Of each layer of a net; the images unchanged are in the middle of `moved`."""
    scores = {}
    for name, features_fn in layers.items():
        rng = setting.rng(name)
        at: np.ndarray | None = None
        seen = []
        for images in moved:
            found = analysis.features(features_fn, images)
            if at is None:
                width = found.shape[1]
                at = rng.permutation(width)[:_WIDEST]
            seen.append(found[:, at])
        made = analysis.invariance(seen[len(seen) // 2], seen, _RATE)
        scores[name] = analysis.of_network(made.scores, _BEST)
    return scores


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
        f"nonlinearity; {1 / _RATE:g} is the most. Shift within {pixels} px, rotation "
        "within 15 degrees, scale within 1.2, turn in depth of strokes made bodies "
        "within 30 degrees. Pixels have no training. The paper's "
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


def _gratings(setting: Setting, run: recording.Run, shown: dict[str, Layers]) -> None:
    side = setting.test.images.shape[1]
    waves = (1, 2, 3) if setting.is_small else analysis.FREQUENCIES
    rows = []
    for net, layers in shown.items():
        for layer, features_fn in layers.items():
            made = analysis.grating_test(
                _some(setting, layer, features_fn), side, side, frequencies=waves
            )
            scores = {
                kind: f"{analysis.of_network(part.scores, _BEST):.1f}"
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


def _some(setting, name, features_fn):
    """The units that `_scores` draws."""

    def some(images: Array) -> Array:
        flat = features_fn(images).reshape(len(images), -1)
        return flat[:, setting.rng(name).permutation(flat.shape[1])[:_WIDEST]]

    return some
