"""Remembering the best point: written once, used by every attack."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from robust_jax.core.margin import verdict
from robust_jax.core.types import Array, Goal, Incumbent, Threat


def nothing_yet(x: Array) -> Incumbent:
    """The incumbent before any evaluation: the clean point with margin -inf."""
    first = jax.tree.leaves(x)[0]
    zero = jnp.zeros((), first.dtype)
    return Incumbent(x, jnp.full((), -jnp.inf, first.dtype), zero)


def clean_point(threat: Threat, x: Array, logits: Array, goal: Goal) -> Incumbent:
    """The clean point as incumbent: robust accuracy <= clean accuracy by construction.

    Args:
        threat: gives the distance's dtype and norm.
        x: clean input, shape [*S].
        logits: the model's answer at x, shape [K].
        goal: scalar fields.
    """
    empty = nothing_yet(x)
    margin = verdict(logits, goal).astype(empty.margin.dtype)
    return Incumbent(x, margin, threat.distance(x, x).astype(empty.distance.dtype))


def strongest(best: Incumbent, candidate: Incumbent) -> Incumbent:
    """The point with the larger margin; the older one on equality.

    What a fixed-budget attack keeps. A NaN margin never replaces anything.
    """
    better = candidate.margin > best.margin
    return jax.tree.map(
        lambda old, new: jnp.where(better, new.astype(old.dtype), old), best, candidate
    )


def closest(
    best: Incumbent,
    candidate: Incumbent,
    eps: ArrayLike,
    least_margin: ArrayLike = 0.0,
) -> Incumbent:
    """The adversarial point nearest to the input; before there is one, the strongest.

    What a minimum-norm attack keeps; `eps` caps the distance, and a point counts from
    `least_margin` on. The older one on equality. A NaN margin never replaces anything.
    """
    won, wins = best.margin >= least_margin, candidate.margin >= least_margin
    nearer = wins & (~won | (candidate.distance < best.distance))
    stronger = ~won & (candidate.margin > best.margin)
    better = (candidate.distance <= eps) & (nearer | stronger)
    return jax.tree.map(
        lambda old, new: jnp.where(better, new.astype(old.dtype), old), best, candidate
    )
