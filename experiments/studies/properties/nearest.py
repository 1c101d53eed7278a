"""The nearest adversarial images by box-constrained L-BFGS, as the paper has them."""

import jax.numpy as jnp
import numpy as np

from robust_jax import attacks, threats
from robust_jax.core import drive, ids, lift
from robust_jax.core.types import Key, LogitsFn, Reach

Images = np.ndarray  # [N, H, W, C]


def targets(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A wrong class for each image, uniformly at random."""
    return (labels + rng.integers(1, 10, len(labels))) % 10


def keys(seed: int, images: Images, labels: np.ndarray) -> Key:
    """A key for each image and its label, whatever stands beside it."""
    return lift.item_keys(seed, ids.example_ids(images, labels))


def nearest(
    logits_fn: LogitsFn, images: Images, goals: np.ndarray, seed: int
) -> Images:
    """The nearest images seen as the goals, by L-BFGS; NaN where none was found."""
    found = drive.auto(attacks.lbfgs(), to_the_end=True)(
        keys(seed, images, goals),
        logits_fn,
        threats.L2(np.inf),
        jnp.asarray(images),
        Reach(goals.astype(np.int32)),
    )
    x_adv = np.array(found.x_adv)
    x_adv[~(np.asarray(found.margin) >= 0)] = np.nan
    return x_adv


def distances(moved: Images, images: Images) -> np.ndarray:
    """Root mean square over the pixels, by image; NaN where nothing was found."""
    change = (moved - images).reshape(len(images), -1).astype(float)
    return np.sqrt((change**2).mean(axis=1))


def percent(share: float | None) -> str:
    """A share as a cell of a table, in per cent."""
    return "-" if share is None else f"{100 * share:.2f}"
