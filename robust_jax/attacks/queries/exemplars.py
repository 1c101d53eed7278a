"""Images of other classes as starts of decision-based attacks. On the host."""

import numpy as np
from numpy.typing import NDArray

from robust_jax.core.types import Goal, Reach


def exemplars(
    pool: NDArray[np.floating],
    classes: NDArray[np.integer],
    images: NDArray[np.floating],
    goal: Goal,
) -> NDArray[np.floating]:
    """For each image the nearest one of a pool that meets its goal.

    Nearest in the Euclidean norm; the earliest of equals. What an example gets does not
    depend on the others. For `drive.hosted(attack)(..., start=exemplars(...))`.
    Edge cases: where no image of the pool meets the goal, the image itself, from which
    an attack goes on to noise.

    Args:
        pool: shape [M, *S].
        classes: what the attacked model says of the pool, not its true labels, [M].
        images: shape [B, *S].
        goal: fields of shape [B].
    Returns: shape [B, *S].
    Raises: ValueError: shapes that do not fit together.

    >>> pool = np.array([[0.2, 0.8], [0.4, 0.6]], np.float32)
    >>> goal = rj.core.types.Untargeted(labels[:1])
    >>> rj.attacks.exemplars(pool, np.array([1, 1]), images[:1], goal)
    array([[0.4, 0.6]], dtype=float32)
    """
    pool, images, classes = np.asarray(pool), np.asarray(images), np.asarray(classes)
    if pool.shape[1:] != images.shape[1:] or len(classes) != len(pool):
        raise ValueError(
            f"pool={pool.shape}, classes={classes.shape}, images={images.shape}; "
            "expected [M, *S], [M] and [B, *S]"
        )
    flat = pool.reshape(len(pool), -1).astype(np.float64)
    starts = images.copy()
    if isinstance(goal, Reach):
        wanted = classes == np.asarray(goal.target)[:, None]
    else:
        wanted = classes != np.asarray(goal.label)[:, None]
    for i, fits in enumerate(wanted):
        if fits.any():
            distance = ((flat[fits] - images[i].reshape(-1)) ** 2).sum(1)
            starts[i] = pool[fits][np.argmin(distance)]
    return starts
