"""SparseFool: DeepFool finds the boundary, then few coordinates go there."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Gradient, exact
from robust_jax.attacks.nearest import _linearised_boundary as boundary
from robust_jax.attacks.skeletons.common import chosen, until_won
from robust_jax.attacks.skeletons.minimum_norm import (
    NearState,
    along,
    first_state,
    in_box,
)
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


class _Own(NamedTuple):
    base: Array  # [*S] the sparse point from which DeepFool started, x at first
    turn: Array  # [] int32 DeepFool's moves since then


@attack(
    paper="Modas et al., CVPR 2019",
    norms=("l0",),
    finds=NEAREST,
    per_step=(1, 9),
    short={"steps": 98, "past": 1.0},
)
def sparsefool(
    steps: int = 100,
    deepfool_steps: int = 50,
    past: float = 3.0,
    overshoot: float = 0.02,
    gradient: Gradient | None = None,
) -> Attack:
    """SparseFool, for L0.

    DeepFool's steps in L2 lead from a point, x at first, across the boundary; the
    gradient w there is the boundary's normal. Then the coordinates with the largest
    |w| move, each as far as the box lets it, until the plane with normal w is reached
    that lies `past` times as far from the point as the one through DeepFool's last
    iterate: the least way in L1, which few coordinates go. A larger `past` needs fewer
    rounds and more coordinates. The first sparse point that is adversarial ends the
    attack; from another DeepFool starts again.
    What it looks for is a small number of coordinates, hence the threat; `deepfool`
    minimises L1 itself.
    Guarantees: every iterate is in the box, every sparse one within eps; of all
    iterates the one that is adversarial and moves fewest coordinates, at most eps, is
    returned; deterministic; dtype kept; scaling the logits changes nothing.
    Edge cases: of more than eps coordinates those that moved furthest stay; until a
    success, the strongest iterate within eps is kept; zero gradients do not move;
    non-finite logits count as success.

    Args:
        steps: moves, each of 1 forward and 1 backward (`Untargeted`: as
            `deepfool`), >= 1; one more call judges the last iterate.
        deepfool_steps: at most so many before the coordinates are chosen, >= 1.
        past: how far the plane to be reached lies, times the way to the boundary, >= 1.
        overshoot: share of a step of DeepFool, and of the sparse displacement, by which
            it is longer, finite, >= 0.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside these ranges; when it is first run, for a
        threat other than L0 and for an untargeted goal with a gradient that has a
        memory.
    References: Modas et al., "SparseFool: a few pixels make a big difference", CVPR
        2019, Alg. 1 and 2. Differs from the authors' code in: DeepFool stays in the
        box, as `deepfool`; the plane passes through its iterates with their overshoot;
        the next round starts from the sparse point with its overshoot, which saves a
        look; the threat is L0, the number that it is made for, in channels, not in
        pixels of three; eps caps the sparse points.

    >>> rj.attacks.sparsefool(steps=30, past=1.0)
    sparsefool(steps=30, deepfool_steps=50, past=1.0, overshoot=0.02)
    """
    checks.positive_integer("steps", steps)
    checks.positive_integer("deepfool_steps", deepfool_steps)
    wanted = "a finite factor >= 1"
    checks.holds("past", past, lambda v: 1 <= v < float("inf"), wanted)
    checks.non_negative_number("overshoot", overshoot)
    estimator, calls = exact() if gradient is None else gradient, steps + 1

    def step(logits_fn: LogitsFn, threat: Threat, state: NearState) -> NearState:
        own, x, here = state.own, state.x, state.iterate
        l2 = threats.L2(jnp.inf, threat.lower, threat.upper)
        key = jax.random.fold_in(state.key, state.i)
        query = boundary.BoundaryQuery(key, logits_fn, l2, here, state.goal)
        plane, memory, paid = boundary.crossed(estimator, query, state.memory)
        margin = verdict(plane.logits, state.goal)
        judged = Incumbent(here, margin, threat.distance(here, x))
        won, on_base = margin >= 0, own.turn == 0
        value = jnp.where(jnp.isfinite(plane.value), plane.value, 0)
        across = along(here, 1 + overshoot, l2.cross(plane.grad, -value, here))
        there = ~on_base & (won | (own.turn >= deepfool_steps))
        base = chosen(
            there,
            _sparse(threat, x, own.base, here, plane.grad, (past, 1 + overshoot)),
            own.base,
        )
        return state._replace(
            iterate=chosen(there, base, in_box(threat, across)),
            own=_Own(base, jnp.where(there, 0, own.turn + 1)),
            memory=memory,
            best=incumbent.closest(state.best, judged, threat.eps),
            i=jnp.where(won & on_base, calls, state.i + 1),
            forwards=state.forwards + paid.forwards,
            backwards=state.backwards + paid.backwards,
        )

    return until_won(functools.partial(_first, estimator), step, calls)


def _first(
    estimator: Gradient, key: Key, threat: Threat, x: Array, goal: Goal, logits: Array
) -> NearState:
    if not isinstance(threat, threats.L0):
        raise ValueError(
            f"threat={type(threat).__name__}; expected threats.L0 for sparsefool; use "
            "deepfool"
        )
    own = _Own(x, jnp.zeros((), jnp.int32))
    state = first_state(estimator, x, own, key, x, goal)
    inner = threats.L2(threat.eps)
    boundary.check_use("SparseFool", inner, goal, state.memory)
    return state


def _sparse(
    threat: Threat,
    x: Array,
    base: Array,
    here: Array,
    normal: Array,
    factors: tuple[float, float],
) -> Array:
    """Few coordinates of base moved onto the plane; Alg. 1 of Modas et al. (2019).

    Args:
        threat: L0, of one example.
        x, base, here: the input, where DeepFool started and where it ended, [*S].
        normal: the boundary's at `here`, [*S].
        factors: how far the plane lies, and by what the displacement grows.
    """
    past, longer = factors
    l1 = threats.L1(jnp.inf, threat.lower, threat.upper)
    # A plane behind the point, which a curved boundary may have, is met in front.
    gap = past * jnp.abs(boundary.climbed(normal, here, base))
    moved = along(base, 1, l1.cross(normal, gap, base))
    delta = jax.tree.map(jnp.subtract, moved, x)
    ahead = in_box(threat, along(x, longer, delta))
    return threat.project(ahead, x)
