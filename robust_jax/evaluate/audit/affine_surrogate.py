"""Adversarial examples of another model: what needs no gradient of this one."""

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from robust_jax.core import drive, lift
from robust_jax.core.types import Array, Attack, LogitsFn, Untargeted
from robust_jax.evaluate.audit import drivers
from robust_jax.evaluate.audit.subject import Bench, Subject

_EXAMPLES = 1024  # At most, for the fit: it solves a system of so many equations.
_NUMBERS = 2**26  # At most, in the matrix of the images: 256 MiB.
_RIDGE = 0.01  # Times the mean squared length of an image, against noise in the fit.


def fitted(subject: Subject) -> LogitsFn | None:
    """An affine model fitted to the model's clean logits by ridge regression.

    A poor model with honest gradients: it knows which pixels the classes differ in,
    which is more than a model with masked gradients tells. No call of the model.

    Args:
        subject: gives images and clean logits; at most 1,024 examples are used, those
            with the smallest ids.
    Returns: [*S] -> [K]; None if no example has finite logits.
    """
    size = int(np.prod(subject.images.shape[1:]))
    most = max(1, min(_EXAMPLES, _NUMBERS // size))
    usable = np.flatnonzero(np.isfinite(subject.logits).all(axis=1))
    if len(usable) == 0:
        return None
    chosen = usable[np.argsort(subject.ids[usable], kind="stable")][:most]
    x = subject.images[chosen].reshape(len(chosen), size).astype(np.float64)
    y = subject.logits[chosen].astype(np.float64)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    x, y = x - mean_x, y - mean_y
    gram = x @ x.T
    ridge = _RIDGE * np.trace(gram) / len(x)
    # The smallest normal number keeps the system regular where all images are equal.
    ridge = max(ridge, np.finfo(np.float64).tiny)
    weights = x.T @ np.linalg.solve(gram + ridge * np.eye(len(x)), y)
    bias = mean_y - mean_x @ weights
    return Partial(_affine, weights.astype(np.float32), bias.astype(np.float32))


def against(bench: Bench, surrogate: LogitsFn, attack: Attack) -> np.ndarray:
    """The bench's points after an attack on the surrogate, [M, *S].

    The attack goes on to the largest margin: the first error of the surrogate would
    hardly be one of the model. The surrogate's calls are counted.
    """
    is_affine = getattr(surrogate, "func", None) is _affine
    driver = drive.traced if is_affine else drivers.auto  # One program, no convolution.
    run = lift.in_tiles(driver(attack, to_the_end=True), tile=bench.subject.tile)
    goal = Untargeted(bench.labels)
    result = run(bench.keys, surrogate, bench.threat, bench.images, goal)
    bench.count(int(result.forwards.sum()), int(result.backwards.sum()))
    return np.asarray(result.x_adv)


def _affine(weights: Array, bias: Array, x: Array) -> Array:
    return x.reshape(-1).astype(jnp.float32) @ weights + bias
