"""Coordinates one at a time, the best of a few that the gradient proposes."""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Gradient, Query, exact
from robust_jax.attacks.skeletons.common import chosen, until_won
from robust_jax.attacks.skeletons.minimum_norm import NearState, box_ends, first_state
from robust_jax.core import checks, incumbent
from robust_jax.core.facts import NEAREST, attack
from robust_jax.core.margin import verdict
from robust_jax.core.types import (
    Array,
    Attack,
    Goal,
    Incumbent,
    Key,
    LogitsFn,
    Threat,
)
from robust_jax.losses import objectives


@attack(
    "candidates",
    paper="as FGA, Hajri et al., ICTAI 2021",
    norms=("l0",),
    finds=NEAREST,
    per_step=(21, 1),
)  # They decide a shape.
def greedy_l0(
    steps: int = 40, candidates: int = 20, gradient: Gradient | None = None
) -> Attack:
    """Greedy search for few coordinates, L0.

    Each step takes the coordinates that would climb the margin most if the net were
    linear, each moved to the face of the box that the gradient points to, asks the net
    about the first few of them, and keeps the one with the largest margin. The first
    adversarial point ends the attack. On nets that are nearly linear, where two or
    three coordinates suffice, hardly anything finds fewer; where many are needed,
    descent such as `pdpgd` does.
    Guarantees: every iterate is in the box and within eps; the first that is
    adversarial is returned, or the strongest; deterministic; dtype kept.
    Edge cases: a coordinate moves once; without one that climbs, any is tried;
    non-finite logits count as success.

    Args:
        steps: coordinates at most, >= 1; each of 1 + `candidates` forwards and 1
            backward.
        candidates: coordinates asked at a step, >= 1; all if there are fewer.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside these ranges; when it is first run, for a
        threat other than L0.
    References: of the kind of Hajri et al., "Stochastic sparse adversarial attacks",
        ICTAI 2021 (FGA). Differs from it in: several coordinates are asked, each moved
        all the way, where theirs moves one by several random lengths.

    >>> rj.attacks.greedy_l0(steps=20, candidates=10)
    greedy_l0(steps=20, candidates=10)
    """
    checks.positive_integer("steps", steps)
    checks.positive_integer("candidates", candidates)
    estimator = exact() if gradient is None else gradient

    def step(logits_fn: LogitsFn, threat: Threat, state: NearState) -> NearState:
        key, here = jax.random.fold_in(state.key, state.i), state.iterate
        query = Query(
            key,
            logits_fn,
            threat,
            lambda logits: objectives.margin(logits, state.goal),
            here,
        )
        estimate, memory = estimator.estimate(query, state.memory)
        points = _moved(threat, state.x, here, estimate.grad, candidates)
        margins = jax.vmap(lambda x: verdict(logits_fn(x), state.goal))(points)
        first = jnp.argmax(margins)
        ahead = jax.tree.map(lambda a: a[first], points)
        distance = threat.distance(ahead, state.x)
        best = state.best
        for x, margin in (
            (here, verdict(estimate.logits, state.goal)),
            (ahead, margins[first]),
        ):
            judged = Incumbent(x, margin, threat.distance(x, state.x))
            best = incumbent.closest(best, judged, threat.eps)
        over = (best.margin >= 0) | (distance + 1 > threat.eps)
        return state._replace(
            iterate=chosen(distance <= threat.eps, ahead, here),
            memory=memory,
            best=best,
            i=jnp.where(over, steps, state.i + 1),
            forwards=state.forwards + estimator.forwards + margins.size,
            backwards=state.backwards + estimator.backwards,
        )

    return until_won(functools.partial(_first, estimator), step, steps)


def _first(
    estimator: Gradient, key: Key, threat: Threat, x: Array, goal: Goal, logits: Array
) -> NearState:
    if not isinstance(threat, threats.L0):
        name = type(threat).__name__
        raise ValueError(f"threat={name}; expected threats.L0 for greedy_l0; use fmn")
    return first_state(estimator, x, (), key, x, goal)


def _moved(
    threat: Threat, x: Array, here: Array, grad: Array, candidates: int
) -> Array:
    """The iterate with one more coordinate moved, [min(candidates, d), *S]."""
    flat, restore = ravel_pytree(here)
    start, slope = ravel_pytree(x)[0], ravel_pytree(grad)[0]
    low, high = (ravel_pytree(end)[0] for end in box_ends(threat, x))
    face = jnp.where(slope > 0, high, low)
    climb = jnp.where(flat == start, slope * (face - flat), -jnp.inf)
    _, places = lax.top_k(climb, min(candidates, flat.size))
    return jax.vmap(lambda place: restore(flat.at[place].set(face[place])))(places)
