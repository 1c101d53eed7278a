"""Does a rotation of a layer lose its detectors? (Bau et al., CVPR 2017)"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from experiments.studies.properties.nets import Net
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording

_ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
_MOST = 2_000  # images
_ROTATIONS = 3


def dissect(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Unique detectors among the second convolution's channels, turned by Q^alpha."""
    data = setting.shown(_MOST)
    images = data.pixels()
    _, masks = analysis.stroke_concepts(images, data.labels)
    shown = {
        "trained": setting.nets["cnn"],
        "untrained": setting.nets.untrained("cnn"),
    }
    counts = {kind: _counts(setting, net, images, masks) for kind, net in shown.items()}
    rows = [
        {
            "net": kind,
            **{f"alpha {a:g}": c for a, c in zip(_ALPHAS, found, strict=True)},
        }
        for kind, found in counts.items()
    ]
    run.table(
        "Unique detectors under rotation (Network Dissection)",
        f"Concepts, of {masks.shape[-1]}, that a channel of the CNN's second "
        f"convolution detects; {len(data)} images, means of {_ROTATIONS} random "
        "rotations Q^alpha. In the paper, AlexNet's conv5 on Places205: 80 % fewer "
        "at alpha 1.",
        rows,
    )
    title = "Unique detectors under partial rotations"
    path = run.figure("dissect", title, "alpha 0: the units; 1: a random rotation.")
    lines = {kind: (_ALPHAS, found) for kind, found in counts.items()}
    report.plots.curves(path, lines, title, "alpha", "unique detectors")
    trained, untrained = counts["trained"], counts["untrained"]
    return {
        "detectors kept, trained": trained[-1] / max(trained[0], 1),
        "detectors kept, untrained": untrained[-1] / max(untrained[0], 1),
    }


def _counts(
    setting: Setting, net: Net, images: np.ndarray, masks: np.ndarray
) -> list[float]:
    maps = _maps(net, images)
    width = maps.shape[-1]
    turns = [
        analysis.random_rotation(width, setting.seed + i) for i in range(_ROTATIONS)
    ]
    found = []
    for alpha in _ALPHAS:
        powers = [analysis.rotation_power(q, alpha).astype(np.float32) for q in turns]
        powers = powers if alpha else powers[:1]
        unique = [analysis.dissect(maps @ power, masks).unique for power in powers]
        found.append(float(np.mean(unique)))
    return found


def _maps(net: Net, images: np.ndarray) -> np.ndarray:
    """The second convolution's channels after ReLU, shape [N, h, w, D]."""
    shape = images.shape[1:]
    name = [n for n in analysis.layer_names(net.module, shape) if "Conv" in n][1]
    outputs = analysis.layer_outputs(net.module, net.variables, name, shape)
    size = jax.eval_shape(outputs, jnp.zeros((1, *shape))).shape[1:]
    flat = analysis.features(lambda x: nn.relu(outputs(x)), images)
    return flat.reshape(len(images), *size)
