"""Searching larger balls first: the stages of an ascent whose radius shrinks to eps.

Croce & Hein, "Mind the box: l1-APGD for sparse adversarial attacks on image
classifiers", ICML 2021, for L1.
"""

import math
import numbers
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from robust_jax.core import checks
from robust_jax.core.margin import verdict
from robust_jax.core.types import Array, Incumbent, Threat

Radii = tuple[float, ...]  # multiples of eps, the last one 1


class Stages(NamedTuple):
    """A row per call of `step`, or one of them."""

    radius: Any  # of the iterate to evaluate, times eps
    next_radius: Any  # of the iterate after it
    starts: Any  # a stage starts with this iterate
    ends: Any  # the next iterate starts the next stage
    place: Any  # of the iterate in its stage

    def at(self, i: Array) -> "Stages":
        """The row of a traced index."""
        return Stages(*(jnp.asarray(column)[i] for column in self))


def check(steps: int, radii: Radii) -> None:
    """Raises ValueError for steps < len(radii), and radii that do not end in 1."""
    checks.positive_integer("steps", steps)

    def is_radius(value: Any) -> bool:
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        return is_number and math.isfinite(value) and value > 0

    is_tuple = isinstance(radii, tuple) and len(radii) > 0
    if not (is_tuple and all(map(is_radius, radii)) and radii[-1] == 1):
        raise ValueError(
            f"radii={radii!r}; expected a tuple of multiples of eps > 0 that ends in 1"
        )
    if steps < len(radii):
        raise ValueError(
            f"steps={steps}; expected at least one for each of the {len(radii)} radii"
        )


def lengths(steps: int, radii: Radii) -> list[int]:
    """The moves of each stage.

    The last of m radii gets what the others leave, each of which gets 90 / m percent
    of the steps: 30, 30 and 40 percent for three.
    """
    shorter = max(9 * steps // (10 * len(radii)), 1)
    others = [shorter] * (len(radii) - 1)
    return [*others, steps - sum(others)]


def stages(steps: int, radii: Radii) -> Stages:
    """The table of all calls: the moves of each stage, and one start each.

    Returns: columns of length steps + len(radii).
    """
    rows = [
        (radius, j == 0, j == length, j)
        for radius, length in zip(radii, lengths(steps, radii), strict=True)
        for j in range(length + 1)
    ]
    radius, starts, ends, place = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    return Stages(radius, np.append(radius[1:], radii[-1]), starts, ends, place)


def scaled(threat: Any, radius: float | Array) -> Any:
    """The threat with another radius, in multiples of its own."""
    return threat._replace(eps=threat.eps * radius)


def judged(threat: Threat, radius: Array, state: Any, logits: Array) -> Incumbent:
    """The iterate with its margin; -inf, which beats nothing, if it is outside eps.

    The projection's rounding does not exclude iterates of the last stage.
    """
    distance = threat.distance(state.iterate, state.x)
    inside = (radius <= 1) | (distance <= threat.eps)
    score = jnp.where(inside, verdict(logits, state.goal), -jnp.inf)
    return Incumbent(state.iterate, score, distance)
