"""Fake defences that look beyond the input: at the batch, its order, known images."""

import math

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jax.typing import ArrayLike

from robust_jax.core.types import Array, LogitsFn
from robust_jax.models.wrapping import as_partial, number


def batch_normalised(base: LogitsFn, share: ArrayLike = 1.0) -> Partial:
    """The net with its logits normalised by the statistics of the batch.

    An example's answer depends on its neighbours, as with batch normalisation left in
    training mode: attacked batches shift the statistics, and an example that was lost
    among its fellows is right in other company. Gradients couple the examples.
    Remedy: stored statistics (evaluation mode); judge in batches of other sizes.

    Args:
        base: the net, [*S] -> [K].
        share: of the batch's statistics, in [0, 1]; the rest is mean 0, deviation 1.
    Returns: [B, *S] -> [B, K]; with share = 1, zeros for a batch of one.
    Raises: ValueError: a share outside [0, 1].
    """
    return Partial(_batch_normalised, number("share", share, 0, 1), as_partial(base))


def label_leak(
    base: LogitsFn, images: ArrayLike, labels: ArrayLike, lead: ArrayLike = 100.0
) -> Partial:
    """The net with a bonus for the right class, looked up by place in the batch.

    Labels slip into a model by a cache that is indexed by position, or a defence that
    was handed the label: no attack that keeps the order can win.
    Remedy: permute the batch; attack without any bound, which must succeed.

    Args:
        base: the net, [*S] -> [K].
        images: the examples that will be evaluated, shape [N, *S].
        labels: their classes, shape [N].
        lead: the bonus in units of the net's median lead on these images, >= 0.
    Returns: [B, *S] -> [B, K]; position i gets label i modulo N.
    Raises: ValueError: a negative lead.
    """
    lead, base = number("lead", lead, 0), as_partial(base)
    bonus = lead * _median_lead(base, jnp.asarray(images))
    return Partial(_label_leak, bonus, jnp.asarray(labels), base)


def nan_off_data(
    base: LogitsFn,
    images: ArrayLike,
    logits_beyond: ArrayLike = 0.01,
    gradient_beyond: ArrayLike = 0.01,
) -> Partial:
    """The net with NaN for whatever is not an image that it knows.

    NaN compares as false: code that asks `prediction != label` of the largest logit,
    or `loss > best`, books NaN as a defence, and NaN in the gradient as a step of 0.
    Remedy: look for numbers that are not finite, and count them.

    Args:
        base: the net, [*S] -> [K].
        images: what is known, shape [N, *S]; every call compares with each.
        logits_beyond: largest distance, the largest change of a pixel, to the nearest
            known image at which the logits are finite; inf: always.
        gradient_beyond: the same for the gradient.
    Returns: [*S] -> [K].
    Raises: ValueError: a negative distance.
    """
    reach = (
        number("logits_beyond", logits_beyond, 0, math.inf),
        number("gradient_beyond", gradient_beyond, 0, math.inf),
    )
    return Partial(_nan_off_data, reach, jnp.asarray(images), as_partial(base))


def _batch_normalised(share: Array, base: LogitsFn, x: Array) -> Array:
    logits = jax.vmap(base)(x)
    deviation = jnp.sqrt(jnp.var(logits, axis=0) + 1e-5)  # BatchNorm's constant.
    centred = logits - share * jnp.mean(logits, axis=0)
    return centred / (1 - share + share * deviation)


def _label_leak(bonus: Array, labels: Array, base: LogitsFn, x: Array) -> Array:
    logits = jax.vmap(base)(x)
    own = labels[jnp.arange(x.shape[0]) % labels.shape[0]]
    return logits + bonus * jax.nn.one_hot(own, logits.shape[1])


def _nan_off_data(
    reach: tuple[Array, Array], images: Array, base: LogitsFn, x: Array
) -> Array:
    fixed = jax.lax.stop_gradient(x)
    axes = tuple(range(1, images.ndim))
    distance = jnp.min(jnp.max(jnp.abs(images - fixed), axis=axes))
    off_logits, off_gradient = distance > reach[0], distance > reach[1]
    # The square root's value is 0 off the data and its derivative infinite times 0.
    size = jnp.sqrt(jnp.where(off_gradient, 0, 1) * (1 + jnp.sum(x * x)))
    return jnp.where(off_logits, jnp.nan, base(x) + 0 * size)


@jax.jit
def _median_lead(base: LogitsFn, images: Array) -> Array:
    first_two = jax.lax.top_k(jax.vmap(base)(images), 2)[0]
    return jnp.median(first_two[:, 0] - first_two[:, 1])
