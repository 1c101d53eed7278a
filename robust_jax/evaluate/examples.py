"""The examples of an evaluation, refused with one sentence or ready to be attacked."""

from typing import Any

import numpy as np

from robust_jax.core import checks
from robust_jax.core.ids import example_ids
from robust_jax.core.types import LogitsFn
from robust_jax.evaluate.claims import predict
from robust_jax.evaluate.engine import Examples


def checked(
    model: LogitsFn, images: Any, labels: Any, threat: Any, ids: Any, tile: int
) -> Examples:
    """The examples with their clean logits, or one sentence on what is wrong.

    Raises: ValueError: see `core.checks`.
    """
    checks.positive_integer("tile", tile)
    checks.eps(threat.name, threat.eps)
    checks.images(images, lower=threat.lower, upper=threat.upper)
    images = np.asarray(images, np.float32)
    if np.shape(threat.eps) not in ((), (len(images),)):
        raise ValueError(
            f"eps.shape={np.shape(threat.eps)}; expected one radius, or one per image: "
            f"({len(images)},)"
        )
    logits = predict(model, images, tile)
    checks.clean_logits(logits)
    checks.labels(labels, len(images), logits.shape[1])
    labels = np.asarray(labels, np.int32)
    names = example_ids(images, labels) if ids is None else np.asarray(ids, np.uint64)
    if names.shape != labels.shape:
        raise ValueError(f"ids.shape={names.shape}; expected {labels.shape}, one each")
    return Examples(images, labels, names, np.asarray(logits, np.float32))
