"""The Square Attack: random search by windows of one colour, without gradients."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from robust_jax.attacks.queries import (
    _square_l2_l1 as square_l2_l1,
    _square_linf as square_linf,
    _square_patterns as patterns,
)
from robust_jax.attacks.queries._square_proposals import drawn_ahead, proposed, widened
from robust_jax.attacks.queries._square_search import (
    MEMORY,
    Plan,
    SquareState,
    searched,
)
from robust_jax.attacks.skeletons.common import nothing_seen, until_won
from robust_jax.core import checks, images
from robust_jax.core.factories import factory
from robust_jax.core.facts import SCORES, attack
from robust_jax.core.types import (
    Array,
    Attack,
    Goal,
    Key,
    LogitsFn,
    Threat,
)
from robust_jax.losses import objectives


@attack(
    paper="Andriushchenko et al., ECCV 2020",
    norms=("linf", "l2", "l1"),
    sees=SCORES,
    per_step=(1, 0),
    derives=True,
)
def square(
    queries: int = 5000,
    initial_share: float = 0.8,
    objective: objectives.Objective = objectives.margin,
    horizon: int = 10_000,
    proposals: int = 1,
) -> Attack:
    """Random search: a square window is repainted, and kept if the objective rises.

    A window covers the share p of the pixels; p falls in stages. Linf: starts from
    vertical stripes of x +- eps; a proposal repaints a window with x +- eps, one sign
    per channel. L2 and L1: see `square_l2_l1`. The threat's norm is static and decides
    while tracing. Query 0 is the start, query i proposal i, drawn from (key, i) alone.
    A proposal is accepted if the objective rises, or if it is the first success.
    One that would change no pixel, or (Linf) that the same point has refused already,
    could only be rejected, so a step passes over it:
    it counts in `i` as a query, but not in `forwards`, which counts evaluations. So
    `steps`, one more than the queries, bounds the calls, and a search ends before.
    Guarantees: no gradients; the same search as without passing over; every iterate
        is feasible; an adversarial iterate is never lost; at least as strong as the
        clean input; deterministic in key; dtype kept.
    Edge cases: eps = 0 stays at x; on a flat objective the start stays; images need
    not be square; x of rank 1 is a column of pixels, see
    `images.image_shape`; non-finite logits at an iterate count as success.

    Args:
        queries: proposals, >= 1; the start is evaluated besides.
        initial_share: p at first, in (0, 1].
        objective: (logits [K], goal) -> [], the quantity to climb.
        horizon: the number of queries that the stages of p are spread over, >= 1. By
            default, as in AutoAttack, they are those of a search of 10,000, of which
            5,000 are made; for a short search of its own take `horizon=queries`.
        proposals: evaluated side by side in one step, >= 1, all made from the same
            point. What comes after the first one accepted is thrown away and drawn
            anew, so that the search is the same for any number, up to rounding in
            another batch; `forwards` counts what is thrown away too. For devices on
            which a wider batch costs little: with 8, robust MNIST points took 650
            calls and 5,200 forwards for 5,000 queries.
    Raises: ValueError: if queries, horizon, proposals or initial_share is out of
        range; while tracing, if the norm is not linf, l2 or l1, or x is not one array
        of rank 1 to 4.
    References: Andriushchenko et al., "Square Attack: a query-efficient black-box
        adversarial attack via random search", ECCV 2020, Alg. 1 to 3; L1 as in
        AutoAttack (Croce & Hein, "Mind the box", ICML 2021). Differs from AutoAttack's
        code in: windows are drawn per example rather than per batch, and reach the last
        row and column; where a square does not fit, the window is longer; a vector
        starts from one sign per pixel; in L1 the projection is exact; Linf repaints
        with x +- eps, the same point without rounding; the paper's second try after a
        proposal without effect is left out, as in AutoAttack; in Linf a proposal that
        would change no pixel, or that the same point has refused already, costs no
        forward (the same search); proposals may be evaluated side by side (the same
        search up to rounding).

    >>> attack = rj.attacks.square(queries=1000, horizon=1000)
    >>> attack, attack.steps  # The start is evaluated besides.
    (square(queries=1000, initial_share=0.8, horizon=1000, proposals=1), 1001)
    """
    checks.positive_integer("queries", queries)
    checks.positive_integer("horizon", horizon)
    checks.positive_integer("proposals", proposals)
    if not 0 < initial_share <= 1:
        raise ValueError(
            f"initial_share={initial_share}; expected a share in (0, 1]; "
            "0.8 is the authors'"
        )
    halvings = patterns.halvings(horizon)
    return _square(queries, halvings, initial_share, objective, proposals)


@factory("initial_share", "proposals")  # They decide tables of windows and a shape.
def _square(
    queries: int,
    halvings: tuple[int, ...],
    initial_share: float,
    objective: objectives.Objective,
    proposals: int,
) -> Attack:
    plan = Plan(queries, halvings, patterns.shares(initial_share), proposals)

    def init(
        key: Key, threat: Threat, x: Array, goal: Goal, logits: Array
    ) -> SquareState:
        return _first_state(plan, key, threat, x, goal)

    def step(logits_fn: LogitsFn, threat: Threat, state: SquareState) -> SquareState:
        moves = _moves(plan, threat, state.x)
        logits = jax.vmap(logits_fn)(state.ahead)
        state = searched(plan, objective, threat, state, logits)
        draws = drawn_ahead(plan, moves, threat, state)
        return state._replace(
            ahead=jax.vmap(lambda draw: proposed(moves, threat, state, draw))(draws),
            numbers=draws.number,
            codes=jax.vmap(moves.code)(draws),
            i=jnp.minimum(draws.number[0], queries + 1),
            forwards=state.forwards + proposals,
        )

    return until_won(init, step, queries + 1)


def _first_state(
    plan: Plan, key: Key, threat: Threat, x: Array, goal: Goal
) -> SquareState:
    chex.assert_rank(jax.tree.leaves(goal), 0)  # One example; vmap makes many.
    _check_input(x)
    wide, zero = widened(x), jnp.zeros((), jnp.int32)
    start = _moves(plan, threat, x).start(jax.random.fold_in(key, 0), threat, wide)
    start = start.astype(x.dtype)
    never = plan.queries + 1
    return SquareState(
        x=x,
        goal=goal,
        key=key,
        ahead=jnp.broadcast_to(start, (plan.proposals, *x.shape)),
        numbers=jnp.full(plan.proposals, never, jnp.int32).at[0].set(0),
        codes=jnp.full(plan.proposals, -1, jnp.int32),
        accepted=start,
        refused=jnp.full(MEMORY, -1, jnp.int32),
        refusals=zero,
        value=jnp.full((), -jnp.inf, wide.dtype),
        **nothing_seen(x),
    )


_MovesOf = Callable[[list[float], tuple[int, int, int]], patterns.Moves]
_MOVES: dict[str, _MovesOf] = {
    "linf": square_linf.moves,
    "l2": square_l2_l1.l2_moves,
    "l1": square_l2_l1.l1_moves,
}


def _moves(plan: Plan, threat: Threat, x: Array) -> patterns.Moves:
    norm = getattr(threat, "name", type(threat).__name__)
    if norm not in _MOVES:
        raise ValueError(
            f"threat.name={norm!r}; expected {', '.join(_MOVES)}: the Square Attack "
            "has no windows for other sets; choose one of these or another attack"
        )
    return _MOVES[norm](plan.shares, images.image_shape(x.shape))


def _check_input(x: Any) -> None:
    rank = getattr(x, "ndim", None)
    if rank is None:
        raise ValueError(
            f"x={type(x).__name__} of {len(jax.tree.leaves(x))} arrays; expected one "
            "array, since windows need rows and columns; attack pytrees with pgd"
        )
    if not 1 <= rank <= 4:
        raise ValueError(
            f"x.shape={x.shape}; expected [D], [H, W], [H, W, C] or [T, H, W, C] of "
            "one example; reshape inside the model"
        )
