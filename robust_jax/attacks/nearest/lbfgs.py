"""L-BFGS: the nearest adversarial point by a penalised loss, solved in the box.

The first attack of the field: Szegedy et al. (2014).
"""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Gradient, Query, exact
from robust_jax.attacks.skeletons.common import nothing_seen, until_won
from robust_jax.core import checks, incumbent
from robust_jax.core.facts import NEAREST, attack
from robust_jax.core.margin import verdict
from robust_jax.core.streams import OfItem
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
from robust_jax.optim import lbfgsb

_DECADE = 10.0


class Penalty(NamedTuple):
    """The search for the largest penalty whose solution is adversarial."""

    now: Array  # [] of the solve that is running
    good: Array  # [] the largest that was adversarial at its end; 0 before there is one
    bad: Array  # [] the smallest that was not; inf before there is one
    solves: Array  # [] int32, finished without a bracket
    halvings: Array  # [] int32, finished within it


class LbfgsState(NamedTuple):
    """State of one example."""

    x: Array  # [*S]
    goal: Goal
    key: Key  # of the draws of a randomised gradient
    iterate: Array  # [*S], in the box
    solver: lbfgsb.LbfgsbState
    origin: tuple[Array, Array]  # loss [] and gradient [n] at x
    won: Array  # [] bool: the solver's accepted point is adversarial
    penalty: Penalty
    memory: Any  # of the gradient's estimator
    best: Incumbent
    i: Array  # [] int32
    forwards: Array  # [] int32
    backwards: Array  # [] int32


@attack(
    "memory",
    paper="Szegedy et al., ICLR 2014",
    norms=("l2",),
    finds=NEAREST,
    short={"steps": 499},
)
def lbfgs(
    steps: int = 1000,
    iterations: int = 100,
    memory: int = 10,
    ftol: float = 1e-4,
    penalty: float = 1.0,
    decades: int = 8,
    halvings: int = 8,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """Box-constrained L-BFGS: the smallest perturbation in L2 (Szegedy et al.).

    Minimises `c * ||delta||^2 - objective` in the box by L-BFGS-B, each time from x,
    for one penalty c after another: c grows tenfold while the solutions are
    adversarial, and shrinks tenfold while they are not, until one of each kind is
    known; then the bracket is halved on the logarithmic scale. The larger c, the
    smaller delta. `Reach` is the paper's goal.
    Guarantees: every iterate is in the box; of all points evaluated, the nearest that
    is adversarial and within eps is returned; deterministic in key; dtype kept.
    Edge cases: eps only caps what is kept; until a success, the strongest point within
    it is kept; an example whose schedule is finished is over before its budget; a
    flat model leaves x alone.

    Args:
        steps: calls of the model in all, each of 1 forward and 1 backward, >= 1.
        iterations: of one solve at most, >= 1.
        memory: pairs that L-BFGS remembers, >= 1.
        ftol: relative decrease at which a solve ends, > 0. SciPy's 2e-9 takes 1.4 times
            the calls for a distance 0.01 % smaller, on FC100-100-10 and MNIST.
        penalty: the first c, > 0.
        decades: of the search for a bracket at most, >= 1.
        halvings: of the bracket, >= 1.
        objective: the quantity to climb.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside these ranges; when it is first run, for a
        threat other than L2.
    References: Szegedy et al., "Intriguing properties of neural networks", ICLR 2014,
        Sec. 4.1, which gives no code. Differs from the paper in: the square of the
        length, which is smooth at x, as in cleverhans and advertorch; the largest c is
        sought, for the paper's smallest gives the largest delta.

    >>> rj.attacks.lbfgs(steps=400, iterations=50)
    lbfgs(steps=400, iterations=50, memory=10, ftol=0.0001, penalty=1.0, decades=8,
    halvings=8)
    """
    for name, value in (("steps", steps), ("decades", decades), ("halvings", halvings)):
        checks.positive_integer(name, value)
    checks.positive_integer("iterations", iterations)
    checks.positive_integer("memory", memory)
    checks.positive_number("ftol", ftol)
    checks.positive_number("penalty", penalty)
    estimator = exact() if gradient is None else gradient
    options = lbfgsb.Options(memory, iterations, ftol=ftol)

    init = functools.partial(_first_state, estimator, penalty, memory)

    def step(logits_fn: LogitsFn, threat: Threat, state: LbfgsState) -> LbfgsState:
        key = jax.random.fold_in(state.key, state.i)
        climb = lambda logits: objective(logits, state.goal)  # noqa: E731
        query = Query(key, logits_fn, threat, climb, state.iterate)
        estimate, kept = estimator.estimate(query, state.memory)
        margin = verdict(estimate.logits, state.goal)
        distance = threat.distance(state.iterate, state.x)
        judged = Incumbent(state.iterate, margin, distance)
        moved, over = _move(
            threat, state, estimate.value, estimate.grad, margin, options
        )
        spent = (moved.penalty.solves > decades) | (moved.penalty.halvings >= halvings)
        return moved._replace(
            memory=kept,
            best=incumbent.closest(state.best, judged, threat.eps),
            i=jnp.where(over & spent, steps, state.i + 1),
            forwards=state.forwards + estimator.forwards,
            backwards=state.backwards + estimator.backwards,
        )

    return until_won(init, step, steps)


def _first_state(
    estimator: Gradient,
    penalty: float,
    pairs: int,
    key: Key,
    threat: Threat,
    x: Array,
    goal: Goal,
    logits: Array,
) -> LbfgsState:
    chex.assert_rank(jax.tree.leaves(goal), 0)  # One example; vmap makes many.
    if not isinstance(threat, threats.L2):
        name = type(threat).__name__
        raise ValueError(f"threat={name}; expected threats.L2 for lbfgs; use fmn")
    flat = _vector(x)
    zero, none = jnp.zeros((), jnp.int32), jnp.zeros((), flat.dtype)
    return LbfgsState(
        x=x,
        goal=goal,
        key=jax.random.fold_in(key, OfItem.NOISE),
        iterate=x,
        solver=lbfgsb.init(flat, *_box(threat, x), pairs),
        origin=(none, jnp.zeros_like(flat)),
        won=jnp.zeros((), bool),
        penalty=Penalty(none + penalty, none, none + jnp.inf, zero, zero),
        memory=estimator.init(x),
        **nothing_seen(x),
    )


def _move(
    threat: Threat,
    state: LbfgsState,
    objective: Array,
    climb: Array,
    margin: Array,
    options: lbfgsb.Options,
) -> tuple[LbfgsState, Array]:
    """The solver's next point, of the next solve if one is over; and whether it is."""
    lower, upper = _box(threat, state.x)
    start, c = _vector(state.x), state.penalty.now
    delta = _vector(state.iterate) - start
    value = c * (delta @ delta) - objective.astype(delta.dtype)
    grad = 2 * c * delta - _vector(climb)
    first = state.i == 0
    origin = jax.tree.map(
        lambda new, old: jnp.where(first, new, old), (value, grad), state.origin
    )
    judged = lbfgsb.judge(state.solver, value, grad, lower, upper, options)
    accepted = judged.iterations > state.solver.iterations
    won = jnp.where(accepted, margin >= 0, state.won)
    over = judged.converged
    solver = lbfgsb.restart(judged, over, start, *origin)
    solver = lbfgsb.turn(solver, lower, upper)
    penalty = jax.tree.map(
        lambda new, old: jnp.where(over, new, old),
        _next_penalty(state.penalty, won),
        state.penalty,
    )
    moved = state._replace(
        iterate=_like(state.x, solver.point),
        solver=solver,
        origin=origin,
        won=won & ~over,
        penalty=penalty,
    )
    return moved, over


def _next_penalty(penalty: Penalty, won: Array) -> Penalty:
    """After a solve that ended adversarial or not."""
    within = (penalty.good > 0) & jnp.isfinite(penalty.bad)
    good = jnp.where(won, penalty.now, penalty.good)
    bad = jnp.where(won, penalty.bad, penalty.now)
    outside = jnp.where(won, good * _DECADE, bad / _DECADE)
    bracketed = (good > 0) & jnp.isfinite(bad)
    middle = jnp.sqrt(good) * jnp.sqrt(bad)
    return Penalty(
        now=jnp.where(bracketed, middle, outside),
        good=good,
        bad=bad,
        solves=penalty.solves + ~bracketed,
        halvings=penalty.halvings + within,
    )


def _box(threat: Threat, x: Array) -> tuple[Array, Array]:
    """The ends of the box, each a vector [n]."""
    box = threats.Linf(jnp.inf, threat.lower, threat.upper)
    ends = (jax.tree.map(lambda a: jnp.full_like(a, e), x) for e in (-jnp.inf, jnp.inf))  # noqa: B023
    lower, upper = (_vector(box.project(end, x)) for end in ends)
    return lower, upper


def _vector(x: Array) -> Array:
    """All coordinates as one vector, float32 at least."""
    flat = ravel_pytree(x)[0]
    return flat.astype(jnp.promote_types(flat.dtype, jnp.float32))


def _like(x: Array, vector: Array) -> Array:
    flat, restore = ravel_pytree(x)
    return restore(vector.astype(flat.dtype))
