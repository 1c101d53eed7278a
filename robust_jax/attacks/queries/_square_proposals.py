"""The Square Attack's next proposals, those passed over that change nothing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.attacks.queries import _square_patterns as patterns
from robust_jax.attacks.queries._square_search import Plan, SquareState
from robust_jax.core import images
from robust_jax.core.narrow import counted, counted_up
from robust_jax.core.types import Array, Threat


def drawn_ahead(
    plan: Plan, moves: patterns.Moves, threat: Threat, state: SquareState
) -> patterns.Draw:
    """The next proposals after `state.i`, [proposals]; idle ones passed over.

    As many more are drawn as `moves.spare` says; if more than that are idle, the last
    of them are evaluated.
    """
    shape, spare = images.image_shape(state.x.shape), moves.spare(plan.proposals)

    def draw(number: Array) -> patterns.Draw:
        key = jax.random.fold_in(state.key, number)
        stage = patterns.stage(plan.halvings, number - 1)
        sides = jnp.asarray(moves.sides)[stage]
        windows = patterns.draw_windows(key, sides, shape)
        return patterns.Draw(number, stage, sides, windows)

    def idle(draw: patterns.Draw) -> Array:
        changed = proposed(moves, threat, state, draw) != state.accepted
        code = moves.code(draw)
        again = jnp.any(state.refused == code) & (code >= 0)
        return (~jnp.any(changed) | again) & (draw.number <= plan.queries)

    ahead = jnp.arange(1, 1 + plan.proposals + spare, dtype=jnp.int32)
    draws = jax.vmap(draw)(state.i + ahead)
    return _without(jax.vmap(idle)(draws), spare, draws) if spare else draws


def proposed(
    moves: patterns.Moves, threat: Threat, state: SquareState, draw: patterns.Draw
) -> Array:
    """What the accepted point becomes by one proposal."""
    x, accepted = widened(state.x), widened(state.accepted)
    return moves.paint(threat, x, accepted, draw).astype(state.x.dtype)


def _without(idle: Array, most: int, draws: Any) -> Any:
    """All but the first `most` idle rows, and of the others as many as surely remain.

    Args:
        idle: shape [n].
        most: how many to leave out, in [0, n).
        draws: a pytree of rows, shape [n, ...].
    Returns: the same with n - most rows, in order.
    """
    kept = ~idle | (counted_up(idle) > most)
    rows = np.arange(idle.shape[0] - most)[:, None]
    index = counted(counted_up(kept)[None] <= rows, axis=1)
    return jax.tree.map(lambda a: a[index], draws)


def widened(x: Array) -> Array:
    """In float32 at least."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
