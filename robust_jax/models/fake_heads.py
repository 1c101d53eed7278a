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
from robust_jax.models.fakes import _number, as_partial

_DIRECTIONS = 8  # In which a wave runs; one alone leaves all others honest.
_SEED = 21


def distraction(
    base: LogitsFn, bonus: ArrayLike = 50.0, waves: ArrayLike = 4.0
) -> Partial:
    """The net with a bonus for the logit that wins, a smooth wave of the input.

    No class changes, and every gradient is right, but losses and margins lead into the
    valleys of the bonus, which have nothing to do with the boundary. Searches that read
    scores are led astray as well.

    Args:
        base: the net, [*S] -> [K].
        bonus: the largest, in logits, >= 0.
        waves: crests that a walk across the box along one of eight directions meets,
            >= 0.
    Returns: [*S] -> [K].
    Raises: ValueError: a number below 0.
    """
    knobs = _number("bonus", bonus, 0), _number("waves", waves, 0)
    return Partial(_distraction, knobs, as_partial(base))


def _distraction(knobs: tuple[Array, Array], base: LogitsFn, x: Array) -> Array:
    bonus, waves = knobs
    logits = base(x)
    wins = jnp.arange(logits.shape[-1]) == jnp.argmax(logits)
    return logits + wins * bonus * _wave(waves, x).astype(logits.dtype)


def _wave(waves: Array, x: Array) -> Array:
    """A smooth function of x in [0, 1]; its crests lie along random directions."""
    draws = jax.random.normal(jax.random.key(_SEED), (_DIRECTIONS, *x.shape))
    axes = tuple(range(1, draws.ndim))
    # From one corner to the farthest along its signs: one unit.
    places = jnp.sum(draws * x, axis=axes) / jnp.sum(jnp.abs(draws), axis=axes)
    return jnp.mean(0.5 + 0.5 * jnp.sin(2 * jnp.pi * waves * places))
