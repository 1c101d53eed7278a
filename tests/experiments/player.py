"""A folder with what a comparison of two sides needs, the other side played."""

import sys

import jax

from robust_jax import models

# Of a script that plays a side: it reads the images, then answers line by line.
START = """#!{python}
import json, sys
import numpy as np
with np.load(sys.argv[2]) as file:
    images = file["images"]
"""


def set_up(folder, player):
    """Puts an untrained net, right for a few digits, and an executable `python` there.

    Args:
        folder: an empty one.
        player: text of the script, with the place of the interpreter as {python}.
    """
    net, shape = models.by_name("fast_cnn"), (8, 8, 1)
    weights = models.init(net, jax.random.key(0), shape)
    metadata = {"recipe": {"dataset": "digits"}}
    path = folder / "net.safetensors"
    models.save(path, net, weights, input_shape=shape, metadata=metadata)
    script = folder / "python"
    script.write_text(player.format(python=sys.executable))
    script.chmod(0o755)
    return folder
