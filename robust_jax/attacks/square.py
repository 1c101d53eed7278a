"""The Square Attack: random search by windows of one colour, without gradients."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from robust_jax.attacks import square_l2_l1, square_patterns as patterns
from robust_jax.attacks.skeleton import until_won
from robust_jax.core import checks, incumbent
from robust_jax.core.margin import verdict
from robust_jax.core.memo import memoised
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


class SquareState(NamedTuple):
    """State of one example; `iterate` is what the next call evaluates."""

    x: Array  # [*S]
    goal: Goal
    key: Key  # call i draws what it evaluates with fold_in(key, i)
    iterate: Array  # [*S], feasible
    accepted: Array  # [*S], the point that proposals change
    value: Array  # [] its objective
    best: Incumbent
    i: Array  # [] int32
    forwards: Array  # [] int32
    backwards: Array  # [] int32, 0


@memoised
def square(
    queries: int = 5000,
    initial_share: float = 0.8,
    objective: objectives.Objective = objectives.margin,
    horizon: int = 10_000,
) -> Attack:
    """Random search: a square window is repainted, and kept if the objective rises.

    A window covers the share p of the pixels; p falls in stages. Linf: starts from
    vertical stripes of x +- eps; a proposal repaints a window with x +- eps, one sign
    per channel. L2 and L1: see `square_l2_l1`. The threat's norm is static and decides
    while tracing. Call 0 evaluates the start, call i proposal i.
    A proposal is accepted if the objective rises, or if it is the first success.
    Guarantees: no gradients; every iterate is feasible; an adversarial iterate is
    never lost; at least as strong as the clean input; deterministic in key; dtype
    kept.
    Edge cases: eps = 0 stays at x; on a flat objective the start stays; images need
    not be square; x of rank 1 is a column of pixels, see
    `square_patterns.image_shape`; non-finite logits at an iterate count as success.

    Args:
        queries: proposals, >= 1; the start is evaluated besides.
        initial_share: p at first, in (0, 1].
        objective: (logits [K], goal) -> [], the quantity to climb.
        horizon: the number of queries that the stages of p are spread over, >= 1. By
            default, as in AutoAttack, they are those of a search of 10,000, of which
            5,000 are made; for a short search of its own take `horizon=queries`.
    Raises: ValueError: if queries, horizon or initial_share is out of range; while
        tracing, if the norm is not linf, l2 or l1, or x is not one array of rank 1
        to 4.
    References: Andriushchenko et al., "Square Attack: a query-efficient black-box
        adversarial attack via random search", ECCV 2020, Alg. 1 to 3; L1 as in
        AutoAttack (Croce & Hein, "Mind the box", ICML 2021). Differs from AutoAttack's
        code in: windows are drawn per example rather than per batch, and reach the
        last row and column; where a square does not fit, the window is longer; a
        vector starts from one sign per pixel; in L1 the projection is exact.
    """
    checks.positive_integer("queries", queries)
    checks.positive_integer("horizon", horizon)
    if not 0 < initial_share <= 1:
        raise ValueError(
            f"initial_share={initial_share}; expected a share in (0, 1]; "
            "0.8 is the authors'"
        )
    shares = patterns.shares(queries, horizon, initial_share)

    def step(logits_fn: LogitsFn, threat: Threat, state: SquareState) -> SquareState:
        logits, x = logits_fn(state.iterate), state.x
        score = verdict(logits, state.goal)
        value = objective(logits, state.goal).astype(state.value.dtype)
        here = Incumbent(state.iterate, score, threat.distance(state.iterate, x))
        # Later successes must rise too: else a run to the end would stray from them.
        first_success = (score >= 0) & (state.best.margin < 0)
        accept = (value > state.value) | first_success
        accepted = jnp.where(accept, state.iterate, state.accepted)
        ahead = _moves(threat).propose(
            shares,
            jax.random.fold_in(state.key, state.i + 1),
            threat,
            _wide(x),
            _wide(accepted),
            patterns.stage(queries, horizon, state.i),
        )
        return state._replace(
            iterate=ahead.astype(x.dtype),
            accepted=accepted,
            value=jnp.where(accept, value, state.value),
            best=incumbent.strongest(state.best, here),
            i=state.i + 1,
            forwards=state.forwards + 1,
        )

    return until_won(_first_state, step, queries + 1)


def _first_state(key: Key, threat: Threat, x: Array, goal: Goal) -> SquareState:
    chex.assert_rank(list(goal), 0)  # One example; vmap makes many.
    _check_input(x)
    zero, wide = jnp.zeros((), jnp.int32), _wide(x)
    start = _moves(threat).start(jax.random.fold_in(key, 0), threat, wide)
    start = start.astype(x.dtype)
    return SquareState(
        x=x,
        goal=goal,
        key=key,
        iterate=start,
        accepted=start,
        value=jnp.full((), -jnp.inf, wide.dtype),
        best=incumbent.nothing_yet(x),
        i=zero,
        forwards=zero,
        backwards=zero,
    )


class _Moves(NamedTuple):
    """The part of the search that the norm decides."""

    start: Callable[..., Array]  # (key, threat, x) -> [*S]
    propose: Callable[..., Array]  # (shares, key, threat, x, accepted, stage) -> [*S]


def _linf_start(key: Key, threat: Threat, x: Array) -> Array:
    height, width, channels = shape = patterns.image_shape(x.shape)
    rows = 1 if width > 1 else height  # One stripe alone would be no pattern.
    signs = patterns.draw_tiles(key, rows, width, channels).signs
    stripes = patterns.from_image(jnp.broadcast_to(signs, shape), x.shape)
    return threat.project(x + threat.eps * stripes, x)


def _linf_propose(
    shares: list[float],
    key: Key,
    threat: Threat,
    x: Array,
    accepted: Array,
    stage: Array,
) -> Array:
    height, width, _ = shape = patterns.image_shape(x.shape)
    sides = jnp.asarray(
        [
            patterns.window_sides(share, height, width, patterns.square_side)
            for share in shares
        ],
        jnp.int32,
    )[stage]
    windows = patterns.draw_windows(key, sides, shape)
    window = patterns.window_mask(windows.offsets[0], sides, height, width)
    # The paper's step of 2 eps always ends at x +- eps; said so, a window that has its
    # colour already changes no bit, and rounding cannot pass for a rise.
    signs = patterns.from_image(jnp.where(window, windows.signs, 0), x.shape)
    painted = jnp.where(signs == 0, accepted, x + threat.eps * signs)
    return threat.project(painted, x)


_MOVES = {
    "linf": _Moves(_linf_start, _linf_propose),
    "l2": _Moves(square_l2_l1.l2_start, square_l2_l1.l2_propose),
    "l1": _Moves(square_l2_l1.l1_start, square_l2_l1.l1_propose),
}


def _moves(threat: Threat) -> _Moves:
    norm = getattr(threat, "name", type(threat).__name__)
    if norm not in _MOVES:
        raise ValueError(
            f"threat.name={norm!r}; expected {', '.join(_MOVES)}: the Square Attack "
            "has no windows for other sets; choose one of these or another attack"
        )
    return _MOVES[norm]


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


def _wide(x: Array) -> Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
