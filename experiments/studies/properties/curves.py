"""How far features move with the image. Zeiler & Fergus (2014), Fig. 5."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments.studies.properties import cnn_layers
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording
from robust_jax.core.types import Array

_IMAGES = 200
Move = Callable[[np.ndarray, float], np.ndarray]


def curves(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Distances of four layers and the label's probability along three moves."""
    data, net = setting.shown(_IMAGES), setting.nets["pooled"]
    images, shape = data.pixels(), data.images.shape[1:]
    layers = cnn_layers.of_cnn(net, shape)
    layers = {n: cnn_layers.active(layers[n]) for n in layers if n != "conv2"}
    shifts = (1, 2, 3) if setting.is_small else (1, 2, 3, 4, 6, 8)
    moves: dict[str, tuple[Move, tuple[float, ...]]] = {
        "shift, px": (lambda x, d: analysis.translate(x, d, 0), shifts),
        "scale": (analysis.scale, (1.1, 1.2, 1.4, 1.6, 1.8)),
        "rotation, degrees": (
            analysis.rotate,
            (15, 30, 45, 60, 90, 120, 150, 180, 225, 270, 315, 350),
        ),
    }
    still = {n: analysis.features(f, images) for n, f in layers.items()}

    def likely_fn(x: Array) -> Array:
        return jax.nn.softmax(jax.vmap(net.logits_fn)(x))

    found: dict[str, list[dict[str, Any]]] = {}
    for kind, (move, amounts) in moves.items():
        found[kind] = []
        for amount in amounts:
            moved = move(images, amount)
            row: dict[str, Any] = {"move": kind, "amount": amount}
            for name, features_fn in layers.items():
                away = analysis.features(features_fn, moved) - still[name]
                far = np.linalg.norm(away, axis=1) / np.linalg.norm(still[name], axis=1)
                row[name] = float(far.mean())
            likely = analysis.features(likely_fn, moved)
            own = likely[np.arange(len(data)), data.labels]
            row["probability"] = float(own.mean())
            found[kind].append(row)
        _draw(run, kind, found[kind])
    run.table(
        "How far features move with the image",
        f"Euclidean distance over the features' norm, and the label's probability; "
        f"means of {len(data)} test images.",
        [row for rows in found.values() for row in rows],
    )
    return _values(found)


def _values(found):
    near = [row for row in found["shift, px"] if row["amount"] <= 3]
    names = ("conv1", "pool1", "pool2", "fc1")
    gains = [row[a] - row[b] for row in near for a, b in itertools.pairwise(names)]
    by_angle = {row["amount"]: row["probability"] for row in found["rotation, degrees"]}
    return {
        "least gain with depth, by shift": min(gains),
        "conv1 / fc1, by shift": min(row["conv1"] / row["fc1"] for row in near),
        "probability at 90 over 15 degrees": by_angle[90] / by_angle[15],
    }


def _draw(run, kind, rows):
    name, _, _ = kind.partition(",")
    title = f"Features and answers along a {name} of the image"
    x = [row["amount"] for row in rows]
    lines = {
        "conv1, distance": (x, [row["conv1"] for row in rows]),
        "fc1, distance": (x, [row["fc1"] for row in rows]),
        "probability of the label": (x, [row["probability"] for row in rows]),
    }
    path = run.figure(f"curves_{name}", title, "After Zeiler & Fergus, Fig. 5.")
    report.plots.curves(path, lines, title, kind, "relative distance; probability")
