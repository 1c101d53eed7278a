"""Fake defences by their heads: what is climbed is not what decides.

Each keeps the class of the wrapped net at every input and changes the logits that a
loss or a margin is made of, smoothly, with true gradients. Labels alone tell.
Remedy of all: an attack that reads labels, transfer from the net under the head.
"""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jax.typing import ArrayLike

from robust_jax.core.types import Array, LogitsFn
from robust_jax.models.wrapping import as_partial, number

_DIRECTIONS = 8  # In which a wave runs; one alone leaves all others honest.
_SEED = 21


def distraction(
    base: LogitsFn, bonus: ArrayLike = 50.0, waves: ArrayLike = 4.0
) -> Partial:
    """The net with a bonus for the logit that wins, a smooth wave of the input.

    No class changes, and every gradient is right, but losses and margins lead into the
    valleys of the bonus, which have nothing to do with the boundary. Searches that read
    scores are led astray as well.
    Remedy: search by labels alone; attack the net before its head.

    Args:
        base: the net, [*S] -> [K].
        bonus: the largest, in logits, >= 0.
        waves: crests that a walk across the box along one of eight directions meets,
            >= 0.
    Returns: [*S] -> [K].
    Raises: ValueError: a number below 0.
    """
    knobs = number("bonus", bonus, 0), number("waves", waves, 0)
    return Partial(_distraction, knobs, as_partial(base))


def wavy_temperature(
    base: LogitsFn, depth: ArrayLike = 3.0, waves: ArrayLike = 8.0
) -> Partial:
    """The net's logits times a smooth wave of the input: a temperature of its own each.

    The margin keeps its sign, and is small where the wave is low, so that attacks come
    to rest there. At the boundary it is zero, as it should be.
    Remedy: search by labels alone; attack the net before its head.

    Args:
        base: the net, [*S] -> [K].
        depth: logarithm of the largest factor, >= 0; the least is its inverse.
        waves: see `distraction`.
    Returns: [*S] -> [K].
    Raises: ValueError: a number below 0.
    """
    knobs = number("depth", depth, 0), number("waves", waves, 0)
    return Partial(_wavy_temperature, knobs, as_partial(base))


def decoy(base: LogitsFn, lead: ArrayLike = 20.0) -> Partial:
    """The net's class in front of the logits of a decoy, the net on the mirrored image.

    Every gradient is the decoy's, and leads to where that changes its mind.
    Remedy: search by labels alone; attack the net before its head.

    Args:
        base: the net, [*S] -> [K].
        lead: of the class over the decoy's largest logit, >= 0.
    Returns: [*S] -> [K].
    Raises: ValueError: a number below 0.
    """
    return Partial(_decoy, number("lead", lead, 0), as_partial(base))


def _distraction(knobs: tuple[Array, Array], base: LogitsFn, x: Array) -> Array:
    bonus, waves = knobs
    logits = base(x)
    wins = jnp.arange(logits.shape[-1]) == jnp.argmax(logits)
    return logits + wins * bonus * _wave(waves, x).astype(logits.dtype)


def _wavy_temperature(knobs: tuple[Array, Array], base: LogitsFn, x: Array) -> Array:
    depth, waves = knobs
    logits = base(x)
    return logits * jnp.exp(depth * (2 * _wave(waves, x) - 1)).astype(logits.dtype)


def _decoy(lead: Array, base: LogitsFn, x: Array) -> Array:
    decoys = base(jnp.flip(x))
    class_ = jnp.argmax(base(x))
    wins = jnp.arange(decoys.shape[-1]) == class_
    front = lead + jnp.max(decoys) - decoys[class_]  # A constant lead over the best.
    return decoys + wins * jax.lax.stop_gradient(front)


def _wave(waves: Array, x: Array) -> Array:
    """A smooth function of x in [0, 1]; its crests lie along random directions."""
    draws = jax.random.normal(jax.random.key(_SEED), (_DIRECTIONS, *x.shape))
    axes = tuple(range(1, draws.ndim))
    # From one corner to the farthest along its signs: one unit.
    places = jnp.sum(draws * x, axis=axes) / jnp.sum(jnp.abs(draws), axis=axes)
    return jnp.mean(0.5 + 0.5 * jnp.sin(2 * jnp.pi * waves * places))
