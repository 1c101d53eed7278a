"""The layers of the CNN with pooling, and of nets of dense layers."""

from collections.abc import Callable

import jax
import numpy as np
from flax import linen as nn

from experiments.studies.properties.nets import Net
from robust_jax import analysis
from robust_jax.core.types import Array

# Of the CNN: two convolutions of 5x5, each with a pooling of 2x2.
WINDOWS = {
    "conv1": [analysis.Window(5, 1, 2)],
    "pool1": [analysis.Window(5, 1, 2), analysis.Window(2, 2)],
}
WINDOWS["conv2"] = [*WINDOWS["pool1"], analysis.Window(5, 1, 2)]
WINDOWS["pool2"] = [*WINDOWS["conv2"], analysis.Window(2, 2)]


def of_cnn(net: Net, shape: tuple[int, ...]) -> dict[str, Callable[[Array], Array]]:
    """conv1, pool1, conv2, pool2, fc1: images [B, *S] -> features [B, *F].

    Convolutions and the dense layer before their ReLU, poolings above it; maps keep
    their places.
    """

    def outputs(name: str) -> Callable[[Array], Array]:
        return analysis.layer_outputs(net.module, net.variables, name, shape)

    def inputs(name: str) -> Callable[[Array], Array]:
        return analysis.layer_inputs(net.module, net.variables, name, shape)

    side = shape[0] // 4
    return {
        "conv1": outputs("Conv_0"),
        "pool1": inputs("Conv_1"),
        "conv2": outputs("Conv_1"),
        "pool2": lambda x: inputs("Dense_0")(x).reshape(len(x), side, side, -1),
        "fc1": outputs("Dense_0"),
    }


def of_dense(net: Net, shape: tuple[int, ...]) -> dict[str, Callable[[Array], Array]]:
    """Each layer of a net of dense layers before its nonlinearity, the logits last."""
    names = analysis.layer_names(net.module, shape)
    titles = [f"layer {i + 1}" for i in range(len(names) - 1)] + ["logits"]
    return {
        title: analysis.layer_outputs(net.module, net.variables, name, shape)
        for title, name in zip(titles, names, strict=True)
    }


def active(features_fn: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The same above a ReLU."""
    return lambda images: nn.relu(features_fn(images))


def most_varying(
    features_fn: Callable[[Array], Array], images: np.ndarray, count: int
) -> np.ndarray:
    """The channels of a layer's maps that vary most over images, in their order."""
    size = jax.eval_shape(features_fn, images[:1]).shape[1:]
    maps = analysis.features(features_fn, images).reshape(-1, *size)
    spread = maps.max(axis=(1, 2)).std(axis=0)
    return np.sort(np.argsort(-spread, kind="stable")[:count])
