"""FAB: the nearest adversarial point, by steps onto the linearised boundary.

A minimum-norm attack: it minimises `threat.distance`, and eps is a cap.
"""

import functools
from typing import Any, NamedTuple, cast

import chex
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Estimate, Gradient, exact
from robust_jax.attacks.nearest import _linearised_boundary as boundary
from robust_jax.attacks.skeletons.common import nothing_seen, until_won
from robust_jax.attacks.skeletons.minimum_norm import in_box
from robust_jax.attacks.skeletons.projected import Start, at_the_input
from robust_jax.core import checks, incumbent
from robust_jax.core.facts import NEAREST, Setting, attack
from robust_jax.core.margin import verdict
from robust_jax.core.streams import OfItem
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


class FabState(NamedTuple):
    """State of one example; `iterate` is what the next call evaluates."""

    x: Array  # [*S]
    goal: Goal
    key: Key  # of the draws of a randomised gradient
    iterate: Array  # [*S], in the box
    memory: Any  # of the gradient's estimator
    best: Incumbent
    i: Array  # [] int32
    forwards: Array  # [] int32
    backwards: Array  # [] int32


@attack(
    paper="Croce & Hein, ICML 2020 (FAB)",
    norms=("linf", "l2", "l1"),
    finds=NEAREST,
    per_step=(2, 9),
    short={"steps": 90},
    settings={
        "fab": Setting(),
        "fab_t": Setting(per_step=(2, 1), targets=9, short={"steps": 110}),
    },
)
def fab(
    steps: int = 100,
    alpha_max: float = 0.1,
    eta: float = 1.05,
    beta: float = 0.9,
    start: Start | None = None,
    gradient: Gradient | None = None,
) -> Attack:
    """The fast adaptive boundary attack; with the goal `Towards`, FAB-T.

    Each step linearises the boundary at the iterate, goes the shortest way to it from
    the iterate and from x, mixes the two (the nearer the iterate is to the boundary,
    compared with x, the less of x: alpha = min(d / (d + d_x), alpha_max)), overshoots
    by eta and clips to the box. An adversarial point is kept if it is the nearest so
    far, and the iterate then goes back from it towards x, by beta. Only what is
    kept, and a random start, depend on eps.
    `Untargeted` linearises the boundaries to all other classes and goes to the one
    that is nearest; `Towards` the boundary between label and target, where any error
    is a success; `Reach` that between the target and the best other class.
    Guarantees: every iterate is in the box; of the start and the points that the steps
    reach, the nearest that is adversarial and within eps is returned; deterministic in
    key; dtype kept; scaling the logits changes nothing.
    Edge cases: eps = inf finds the smallest distance whatever it is; eps = 0 returns
    x; until a success, the strongest point within eps is kept; a zero gradient draws
    the iterate back towards x; non-finite logits count as success.

    Args:
        steps: each of 2 forwards and 1 backward (`Untargeted`: K - 1, and a forward
            for each ten of them and one), >= 1.
        alpha_max: largest weight of the way from x, in [0, 1].
        eta: extrapolation across the linearised boundary, >= 1.
        beta: what is left of the displacement after a success, in (0, 1).
        start: (key, threat, x) -> the first iterate; the input by default,
            `halfway_at_random` for restarts.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside these ranges; when it is first run, for L0
        and for an untargeted goal with a gradient that has a memory.
    References: Croce & Hein, "Minimally distorted adversarial examples with a fast
        adaptive boundary attack", ICML 2020, Alg. 1; FAB-T: Croce & Hein, "Reliable
        evaluation ...", ICML 2020. Differs from the authors' code in: gradients below
        1e-8 count; the way to the boundary is exact to rounding, without a sort; the
        linearised value is taken at the iterate, not through an offset from the origin;
        a random start is judged; a tie of logits is a success; untargeted takes K - 1
        gradients, not K, ten at a time. As there, a point that was pulled back is not
        judged, and there is no final search.

    >>> rj.attacks.fab(steps=50, alpha_max=0.2)
    fab(steps=50, alpha_max=0.2, eta=1.05, beta=0.9)
    """
    checks.positive_integer("steps", steps)
    checks.holds("alpha_max", alpha_max, lambda v: 0 <= v <= 1, "a weight in [0, 1]")
    checks.holds("eta", eta, lambda v: 1 <= v < float("inf"), "a finite factor >= 1")
    checks.holds("beta", beta, lambda v: 0 < v < 1, "a share in (0, 1)")
    first = at_the_input if start is None else start
    estimator = exact() if gradient is None else gradient

    init = functools.partial(_first_state, estimator, first)

    def step(logits_fn: LogitsFn, threat: Threat, state: FabState) -> FabState:
        geometry, x, here = (
            cast(NormBall, threat),
            state.x,
            state.iterate,
        )
        key = jax.random.fold_in(state.key, state.i)
        query = boundary.BoundaryQuery(key, logits_fn, geometry, here, state.goal)
        plane, memory, paid = boundary.nearest(estimator, query, state.memory)
        ahead = _across(geometry, plane, here, x, alpha_max, eta)
        margin = verdict(logits_fn(ahead), state.goal)
        # Later iterates are as judged before, or pulled back: see the differences.
        first_margin = jnp.where(
            state.i == 0, verdict(plane.logits, state.goal), -jnp.inf
        )
        best = state.best
        for point, score in ((here, first_margin), (ahead, margin)):
            judged = Incumbent(point, score, threat.distance(point, x))
            best = incumbent.closest(best, judged, threat.eps)
        won = margin >= 0
        return state._replace(
            iterate=jax.tree.map(
                lambda a, x: jnp.where(won, x + beta * (a - x), a), ahead, x
            ),
            memory=memory,
            best=best,
            i=state.i + 1,
            forwards=state.forwards + paid.forwards + 1,
            backwards=state.backwards + paid.backwards,
        )

    return until_won(init, step, steps)


def halfway_at_random(key: Key, threat: Threat, x: Array) -> Array:
    """Starts at eps / 2 from x in a random direction, clipped to the box.

    Uniform coordinates for Linf, Gaussian ones for L2 and L1, scaled to the norm.
    Edge cases: eps = inf starts at a random point of the box, which must be finite.

    References: Croce & Hein (2020), random restarts. Differs from the authors' code in:
        nothing for finite eps.
    """
    flat, restore = ravel_pytree(x)
    wide = jnp.promote_types(flat.dtype, jnp.float32)
    if isinstance(threat, threats.Linf):
        draw = jax.random.uniform(key, flat.shape, wide, -1)
    else:
        draw = jax.random.normal(key, flat.shape, wide)
    size = threat.distance(draw, jnp.zeros_like(draw))
    step = 0.5 * threat.eps * draw / jnp.where(size == 0, 1, size)
    near = in_box(threat, restore((flat + step).astype(flat.dtype)))
    return jax.tree.map(
        lambda a, b: jnp.where(jnp.isinf(threat.eps), a, b),
        threat.sample(key, x),
        near,
    )


def _first_state(
    estimator: Gradient,
    start: Start,
    key: Key,
    threat: Threat,
    x: Array,
    goal: Goal,
    logits: Array,
) -> FabState:
    chex.assert_rank(jax.tree.leaves(goal), 0)  # One example; vmap makes many.
    memory = estimator.init(x)
    boundary.check_use("FAB", threat, goal, memory)
    return FabState(
        x=x,
        goal=goal,
        key=jax.random.fold_in(key, OfItem.NOISE),
        iterate=start(key, threat, x),
        memory=memory,
        **nothing_seen(x),
    )


def _across(
    threat: NormBall,
    plane: Estimate,
    here: Array,
    x: Array,
    alpha_max: float,
    eta: float,
) -> Array:
    """Alg. 1: the point beyond the boundary that a step goes to, [*S] in the box."""
    value = jnp.where(jnp.isfinite(plane.value), plane.value, 0)  # No plane: no way.
    value_at_x = value + boundary.climbed(plane.grad, x, here)
    from_here = threat.cross(plane.grad, -value, here)
    from_x = threat.cross(plane.grad, -value_at_x, x)
    zeros = jax.tree.map(jnp.zeros_like, x)
    short, long = threat.distance(from_here, zeros), threat.distance(from_x, zeros)
    total = short + long
    share = jnp.where(total > 0, short / jnp.where(total > 0, total, 1), 1)
    alpha = jnp.minimum(share, alpha_max)

    def mixed(here: Array, from_here: Array, x: Array, from_x: Array) -> Array:
        ahead, beside = here + eta * from_here, x + eta * from_x
        return ((1 - alpha) * ahead + alpha * beside).astype(x.dtype)

    return in_box(threat, jax.tree.map(mixed, here, from_here, x, from_x))
