"""What all libraries attack, and what a run of an attack finds."""

from typing import Any, NamedTuple

import numpy as np

from robust_jax import models
from robust_jax.core import lift
from robust_jax.core.types import LogitsFn, Threat
from robust_jax.datasets.types import Dataset
from robust_jax.evaluate.claims import predict
from robust_jax.models import networks


class Problem(NamedTuple):
    """What all libraries attack: the images that the net gets right."""

    logits_fn: LogitsFn
    threat: Threat
    images: np.ndarray  # [N, H, W, C]
    labels: np.ndarray  # [N]
    ids: np.ndarray  # [N]
    total: int  # before those that the net gets wrong were left out
    logits: np.ndarray  # [N, K] clean


class Found(NamedTuple):
    """One run of one attack."""

    x_adv: np.ndarray  # [N, H, W, C]
    seconds: float
    forwards: float  # per image
    backwards: float
    robust_cost: float | None = None  # forwards and twice backwards, of robust images


def pose(
    path: str, checkpoint: models.Checkpoint, data: Dataset, threat: Threat
) -> Problem:
    """The images that the net of a checkpoint gets right; `path` names it in errors.

    Raises: ValueError: no FastCNN, or one that gets all images wrong.
    """
    if not isinstance(checkpoint.module, networks.FastCNN):
        raise ValueError(
            f"checkpoint={path} holds a {type(checkpoint.module).__name__}; expected "
            "a FastCNN, the net that the libraries' side builds; choose another one"
        )
    images, labels = data.pixels(), np.asarray(data.labels)
    logits = predict(checkpoint.logits_fn, images, lift.TILE)
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    right = np.flatnonzero((logits >= own).sum(axis=1) == 1)  # A tie is lost.
    if len(right) == 0:
        raise ValueError(
            f"checkpoint={path} gets all {len(data)} images wrong; expected a trained "
            "net; choose another one"
        )
    return Problem(
        checkpoint.logits_fn,
        threat,
        images[right],
        labels[right],
        data.ids[right],
        len(data),
        logits[right],
    )


def arrays(checkpoint: models.Checkpoint, problem: Problem) -> dict[str, Any]:
    """The problem as `served/serve_libraries.py` reads it."""
    module: Any = checkpoint.module
    named: dict[str, Any] = {
        "images": problem.images,
        "labels": problem.labels,
        "num_classes": problem.logits.shape[1],
        "mean": np.float32(module.mean),
        "std": np.float32(module.std),
    }
    for layer, fields in checkpoint.variables["params"].items():
        named |= {f"{layer}/{field}": np.asarray(v) for field, v in fields.items()}
    return named
