"""Exact thresholds without a sort: bisection over the bit patterns of floats.

Non-negative floats are ordered like their bit patterns read as integers, so a
search that sets one bit at a time ends, after 31 halvings in float32, at the very
float where a monotone condition turns: there is no tolerance and no outlier that
slows it. On XLA:CPU a sort of 784 values costs more than ten such searches.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax

from robust_jax.core.types import Array


def last_float(holds: Callable[[Array], Array], dtype: jnp.dtype) -> Array:
    """The largest non-negative float at which a condition still holds.

    Guarantees: exact, in as many calls as the dtype has bits but the sign.
    Edge cases: zero if the condition holds nowhere; NaN if it holds everywhere, NaN
    included.

    Args:
        holds: [] float -> [] bool, true up to some value and false beyond it.
        dtype: float32 or float64.
    Returns: shape [], of the dtype.
    """
    bits = jnp.finfo(dtype).bits
    pattern = jnp.dtype(f"uint{bits}")
    one = jnp.ones((), pattern)

    def set_bit(i: Array, found: Array) -> Array:
        candidate = found | (one << (bits - 2 - i).astype(pattern))
        holds_here = holds(lax.bitcast_convert_type(candidate, dtype))
        return jnp.where(holds_here, candidate, found)

    found = lax.fori_loop(0, bits - 1, set_bit, jnp.zeros((), pattern))
    return lax.bitcast_convert_type(found, dtype)


def keep_largest(values: Array, count: Array | float) -> Array:
    """Marks the floor(count) largest values; of equal ones, those that come first.

    Guarantees: exactly min(floor(count), d) marks.

    Args:
        values: shape [d], >= 0.
        count: shape [], float >= 0, `inf` for all.
    Returns: bool, shape [d].
    """
    count = jnp.minimum(jnp.floor(count), values.size).astype(jnp.int32)
    smallest_kept = last_float(lambda v: jnp.sum(values >= v) >= count, values.dtype)
    above = values > smallest_kept
    tied = values == smallest_kept
    return above | (tied & (jnp.cumsum(tied) <= count - jnp.sum(above)))
