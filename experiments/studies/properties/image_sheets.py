"""Sheets of the images that go furthest along units and along random directions."""

import jax
import numpy as np

from robust_jax import analysis, report
from robust_jax.commands.shared import recording

_SHOWN = 8  # directions, and images of each


def draw(
    run: recording.Run, features: np.ndarray, images: np.ndarray, seed: int
) -> None:
    """The paper's figures 1 and 2, of a layer's features [N, D]."""
    width = features.shape[1]
    key = jax.random.fold_in(jax.random.key(seed), width)
    directions = np.asarray(analysis.random_directions(key, _SHOWN, width))
    active = np.flatnonzero(features.max(axis=0) > 0)[:_SHOWN]
    for name, kind, along in (
        ("units", "single units", np.eye(width, dtype=np.float32)[active]),
        ("directions", "random directions", directions),
    ):
        title = f"Images that go furthest along {kind} of the CNN's last hidden layer"
        about = (
            "Rows: directions; columns: the furthest test images, first on the left."
        )
        path = run.figure(f"units_{name}", title, about)
        top = analysis.top_inputs(lambda x: x, features, along, _SHOWN)
        rows = [(f"{kind[:-1]} {i}", images[row]) for i, row in enumerate(top.indices)]
        report.plots.image_rows(path, rows, title)
