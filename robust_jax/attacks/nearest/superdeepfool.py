"""SuperDeepFool: DeepFool across the boundary, then the shortest way from the input."""

import functools
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from robust_jax.attacks.gradients.estimator import Estimate, Gradient, exact
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
    NormBall,
    Threat,
)


class _Own(NamedTuple):
    turn: Array  # [] int32 moves since the last projection: DeepFool's, then those
    nearest: Incumbent  # the nearest adversarial iterate, whatever eps
    low: Array  # [] share of the way from x to it that is known to fail
    searched: Array  # [] int32 points of the search so far, 0 before it


@attack(
    paper="Abdollahpourrostam et al., NeurIPS 2024",
    norms=("linf", "l2", "l1"),
    finds=NEAREST,
    per_step=(1, 9),
    short={"steps": 88},
)
def superdeepfool(
    steps: int = 100,
    deepfool_steps: int | None = None,
    projections: int = 1,
    overshoot: float = 0.02,
    search: int = 10,
    gradient: Gradient | None = None,
) -> Attack:
    """SuperDeepFool, SDF(m, n), for L2; likewise for Linf and L1.

    DeepFool's steps, m = `deepfool_steps` of them or until an iterate is adversarial,
    lead to a point whose gradient w is the normal of the boundary there; then n =
    `projections` times the iterate moves to where the shortest way from x meets the
    plane through it with normal w, `x + (iterate - x) @ w * w / (w @ w)`, inside the
    box. From there DeepFool goes on, until a projected point is adversarial. At the
    end a bisection between x and the nearest adversarial point follows.
    `Untargeted` looks at the boundaries to all other classes; once one is crossed, at
    that to the class that leads. `Towards` and `Reach` know one boundary.
    Guarantees: every iterate is in the box; of all iterates the nearest that is
    adversarial and within eps is returned; deterministic; dtype kept; scaling the
    logits changes nothing.
    Edge cases: what is kept depends on eps, where the attack goes does not; until a
    success within eps, the strongest point within eps is kept; a zero gradient does not
    move, and projects to x; without an adversarial iterate the calls of the search are
    steps too; non-finite logits count as success.

    Args:
        steps: moves of DeepFool and projections together, each of 1 forward and 1
            backward (`Untargeted`: as `deepfool`), >= 1; one more call judges the last
            iterate.
        deepfool_steps: m, >= 1; None goes on until an iterate is adversarial, as
            the paper's SDF(inf, 1).
        projections: n, >= 1.
        overshoot: share of a step of DeepFool by which it crosses the boundary, finite,
            >= 0.
        search: points of the bisection, each costs as a step, >= 0.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside these ranges; when it is first run, for L0
        and for an untargeted goal with a gradient that has a memory.
    References: Abdollahpourrostam et al., "SuperDeepFool: a new fast and accurate
        minimal adversarial attack", NeurIPS 2024. Differs from the authors' code in:
        the projection is measured from x, where theirs is added to the iterate; both
        ways are the shortest inside the box, theirs leave it; an adversarial iterate
        ends DeepFool's steps, whatever m, and counts; the gradient of the last iterate
        of DeepFool serves the projection, theirs is taken again; the bisection is on,
        off in theirs, and each of its points is a look with gradients; Linf and L1
        likewise.

    >>> rj.attacks.superdeepfool(steps=50, deepfool_steps=3)
    superdeepfool(steps=50, deepfool_steps=3, projections=1, overshoot=0.02, search=10)
    """
    checks.positive_integer("steps", steps)
    checks.positive_integer("projections", projections)
    if deepfool_steps is not None:
        checks.positive_integer("deepfool_steps", deepfool_steps)
    checks.non_negative_number("overshoot", overshoot)
    wanted = "an integer >= 0"
    checks.holds("search", search, lambda v: isinstance(v, int) and v >= 0, wanted)
    estimator, calls = exact() if gradient is None else gradient, steps + 1 + search
    most = calls if deepfool_steps is None else deepfool_steps

    def step(logits_fn: LogitsFn, threat: Threat, state: NearState) -> NearState:
        geometry = cast(NormBall, threat)
        own, x, here = state.own, state.x, state.iterate
        key = jax.random.fold_in(state.key, state.i)
        query = boundary.BoundaryQuery(key, logits_fn, geometry, here, state.goal)
        plane, memory, paid = boundary.crossed(estimator, query, state.memory)
        margin = verdict(plane.logits, state.goal)
        judged = Incumbent(here, margin, threat.distance(here, x))
        best = incumbent.closest(state.best, judged, threat.eps)
        own, halfway = _searched(own, judged, state.i >= steps, x)
        crossing = (margin < 0) & (own.turn < most)
        turn = jnp.where(crossing, own.turn, jnp.maximum(own.turn, most)) + 1
        ahead = chosen(
            crossing,
            _across(geometry, plane, here, 1 + overshoot),
            _shortest_way(geometry, plane, here, x),
        )
        iterate = chosen(own.searched > 0, halfway, ahead)
        return state._replace(
            iterate=in_box(threat, iterate),
            own=own._replace(turn=turn % (most + projections)),
            memory=memory,
            best=best,
            i=jnp.where(own.searched > search, calls, state.i + 1),
            forwards=state.forwards + paid.forwards,
            backwards=state.backwards + paid.backwards,
        )

    return until_won(functools.partial(_first, estimator), step, calls)


def _first(
    estimator: Gradient, key: Key, threat: NormBall, x: Array, goal: Goal, logits: Array
) -> NearState:
    zero = jnp.zeros((), jnp.int32)
    own = _Own(zero, incumbent.nothing_yet(x), jnp.zeros((), jnp.float32), zero)
    state = first_state(estimator, x, own, key, x, goal)
    boundary.check_use("SuperDeepFool", threat, goal, state.memory)
    return state


def _across(threat: NormBall, plane: Estimate, here: Array, factor: float) -> Array:
    """DeepFool's step: across the linearised boundary, from the iterate."""
    value = jnp.where(jnp.isfinite(plane.value), plane.value, 0)
    return along(here, factor, threat.cross(plane.grad, -value, here))


def _shortest_way(threat: NormBall, plane: Estimate, here: Array, x: Array) -> Array:
    """The point next to x of the plane through the iterate, normal to the gradient."""
    gap = boundary.climbed(plane.grad, here, x)
    return along(x, 1, threat.cross(plane.grad, gap, x))


def _searched(
    own: _Own, judged: Incumbent, at_the_end: Array, x: Array
) -> tuple[_Own, Array]:
    """What is known after a point was judged, and the next point of the search.

    That is in the middle of what is left of the way to the nearest adversarial point;
    it then becomes that point, or the end that fails.
    """
    won = judged.margin >= 0
    nearest = incumbent.closest(own.nearest, judged, jnp.inf)
    finished = (won & (own.turn == 0)) | at_the_end
    searching = (own.searched > 0) | (finished & (nearest.margin >= 0))
    middle = (1 + own.low) / 2
    low = jnp.where(won, own.low / middle, middle)
    low = jnp.where(own.searched > 0, low, 0)
    way = jax.tree.map(jnp.subtract, nearest.x, x)
    known = _Own(own.turn, nearest, low, own.searched + searching)
    return known, along(x, (1 + low) / 2, way)
