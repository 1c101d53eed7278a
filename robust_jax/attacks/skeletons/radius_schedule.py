"""Searching larger balls first: the stages of an ascent whose radius shrinks to eps.

Croce & Hein, "Mind the box: l1-APGD for sparse adversarial attacks on image
classifiers", ICML 2021, for L1.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.core import checks
from robust_jax.core.margin import verdict
from robust_jax.core.types import Array, Incumbent, Threat

Radii = tuple[float, ...]  # multiples of eps, the last one 1


class Call(NamedTuple):
    """What is known of one call of `step`, of several stages."""

    radius: Array  # [] of the iterate to evaluate, times eps
    next_radius: Array  # [] of the iterate after it
    length: Array  # [] int32, the moves of the stage
    place: Array  # [] int32, of the iterate in its stage
    starts: Array  # [] bool: the stage starts with this iterate
    ends: Array  # [] bool: the next iterate starts the next stage


def check(steps: Any, radii: Radii) -> None:
    """Raises ValueError for steps < len(radii), and radii that do not end in 1."""
    checks.positive_integer("steps", steps)
    if any(map(checks.is_traced, jax.tree.leaves((steps, radii)))):
        return

    def is_radius(value: Any) -> bool:
        return checks.is_number(value) and math.isfinite(value) and value > 0

    is_tuple = isinstance(radii, tuple) and len(radii) > 0
    if not (is_tuple and all(map(is_radius, radii)) and radii[-1] == 1):
        raise ValueError(
            f"radii={checks.shown(radii)}; expected a tuple of multiples of eps > 0 "
            "that ends in 1"
        )
    if steps < len(radii):
        raise ValueError(
            f"steps={steps}; expected at least one for each of the {len(radii)} radii"
        )


def lengths(steps: Any, radii: Radii) -> list[Any]:
    """The moves of each stage.

    The last of m radii gets what the others leave, each of which gets 90 / m percent
    of the steps: 30, 30 and 40 percent for three.
    """
    shorter = jnp.maximum(9 * steps // (10 * len(radii)), 1)
    others = [shorter] * (len(radii) - 1)
    return [*others, steps - sum(others)]


def call(steps: Any, radii: Radii, i: Array) -> Call:
    """The row of call i, [], of the moves of all stages and one start of each."""
    moves = jnp.stack([jnp.asarray(n, jnp.int32) for n in lengths(steps, radii)])
    firsts = jnp.cumsum(moves + 1) - (moves + 1)  # Calls that start a stage.
    sizes = jnp.stack([jnp.asarray(radius, jnp.float32) for radius in radii])
    stage = jnp.sum(i >= firsts) - 1
    place, length = i - firsts[stage], moves[stage]
    ends = place >= length
    after = jnp.minimum(stage + ends, len(radii) - 1)
    return Call(sizes[stage], sizes[after], length, place, place == 0, ends)


def scaled(threat: Threat, radius: float | Array) -> Any:
    """The threat with another radius, in multiples of its own."""
    return threat.replace(eps=threat.eps * radius)


def judged(threat: Threat, radius: Array, state: Any, logits: Array) -> Incumbent:
    """The iterate with its margin; -inf, which beats nothing, if it is outside eps.

    The projection's rounding does not exclude iterates of the last stage.
    """
    distance = threat.distance(state.iterate, state.x)
    inside = (radius <= 1) | (distance <= threat.eps)
    score = jnp.where(inside, verdict(logits, state.goal), -jnp.inf)
    return Incumbent(state.iterate, score, distance)
