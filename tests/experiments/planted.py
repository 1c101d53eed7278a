"""What a study of properties is given, with weights and images by hand.

The answer is then known: nets of the same module share their programs.
"""

import pathlib

import matplotlib.image
import numpy as np

from experiments.studies.properties import setting as settings
from experiments.studies.properties.nets import Net
from robust_jax import models
from robust_jax.datasets.types import Dataset, dataset_ids

SIDE, SCALE = 8, 250  # Pixels are multiples of 1/250.
SHAPE = (SIDE, SIDE, 1)


class Notebook:
    """A run that keeps tables, and gives figures a file."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.tables, self.figures, self.series = {}, [], {}

    def table(self, title, caption, rows, columns=None):
        self.tables[title] = rows

    def figure(self, name, title, caption):
        self.figures.append(self.folder / f"{name}.png")
        return self.figures[-1]

    def look(self):
        """Every figure is there and not blank."""
        for path in self.figures:
            assert np.ptp(matplotlib.image.imread(path)[..., :3]) > 0.5, path

    def rows(self, part):
        """Those of the one table whose title holds these words."""
        (rows,) = (rows for title, rows in self.tables.items() if part in title)
        return rows


class Nets(dict[str, Net]):
    """Planted nets by name; untrained ones are beside them as "NAME, untrained"."""

    def untrained(self, name):
        return self[f"{name}, untrained"]

    def error(self, name, data):
        return self[name].error(data)


def affine(kernel, bias=0.0, title="affine"):
    """A net of one layer, kernel [64, 10]."""
    layer = {"kernel": np.float32(kernel), "bias": np.full(10, bias, np.float32)}
    return Net(title, models.by_name("mlp", hidden=()), _params([layer]), {})


def dense(*kernels, first=0.0, title="dense", trained=True):
    """A net of ReLU layers, without biases but for those of the first one."""
    widths = tuple(kernel.shape[1] for kernel in kernels[:-1])
    layers = [
        {"kernel": np.float32(k), "bias": np.zeros(k.shape[1], np.float32)}
        for k in kernels
    ]
    layers[0]["bias"] += np.float32(first)
    history = {"loss": [0.0]} if trained else {}
    return Net(title, models.by_name("mlp", hidden=widths), _params(layers), history)


def dataset(pixels, labels, split="test"):
    """Images that hold these pixels to 1/250, shape [N, H, W, 1]."""
    images = np.round(np.asarray(pixels) * SCALE).astype(np.uint8)
    labels = np.asarray(labels, np.int32)
    ids = dataset_ids(images, labels, SCALE)
    return Dataset("digits", split, images, labels, ids, 10, SCALE)


def setting(nets, test, **more):
    """A setting of the digits; their training set is the test set unless told."""
    given = {"dataset": "digits", "seed": 0, "training": test, "paper": True} | more
    return settings.Setting(test=test, nets=nets, **given)


def _params(layers):
    return {"params": {f"Dense_{i}": layer for i, layer in enumerate(layers)}}
