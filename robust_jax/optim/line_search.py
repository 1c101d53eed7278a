"""The line search of L-BFGS-B: a bracket of steps, and the minima of parabolas."""

from typing import NamedTuple

import jax.numpy as jnp

from robust_jax.core.types import Array


class SearchState(NamedTuple):
    """Where a line search is, from x towards aim."""

    step: Array  # [] of the point: 1 is aim
    limit: Array  # [] the largest step
    slope: Array  # [] at x
    low: Array  # [] a step that is good, but where the function still falls
    low_value: Array  # []
    low_slope: Array  # []
    high: Array  # [] a step that is too long, or inf
    high_value: Array  # []
    tries: Array  # [] int32 evaluations


def begun(step: Array, limit: Array, slope: Array, value: Array) -> SearchState:
    """A search of which nothing but value and slope at its start is known."""
    zero, far = jnp.zeros_like(slope), jnp.full_like(slope, jnp.inf)
    return SearchState(
        step=step,
        limit=limit,
        slope=slope,
        low=zero,
        low_value=value,
        low_slope=slope,
        high=far,
        high_value=far,
        tries=jnp.zeros((), jnp.int32),
    )


def next_try(
    search: SearchState, value: Array, slope: Array, enough: Array
) -> SearchState:
    """Brackets a point of Wolfe's conditions by one more evaluation."""
    step = search.step
    search = search._replace(
        low=jnp.where(enough, step, search.low),
        low_value=jnp.where(enough, value, search.low_value),
        low_slope=jnp.where(enough, slope, search.low_slope),
        high=jnp.where(enough, search.high, step),
        high_value=jnp.where(enough, search.high_value, value),
        tries=search.tries + 1,
    )
    width = search.high - search.low
    rise = search.high_value - search.low_value - search.low_slope * width
    share = -search.low_slope * width / (2 * rise)  # Of a parabola's minimum.
    share = jnp.where(jnp.isfinite(share), jnp.clip(share, 0.1, 0.9), 0.5)
    share = jnp.where(jnp.isinf(search.high_value), 0.1, share)
    within = search.low + share * width
    beyond = jnp.minimum(4 * step, search.limit)
    step = jnp.where(jnp.isinf(search.high), beyond, within)
    return search._replace(step=step)
