"""Counts and draws of 32 bits, whether or not `jax_enable_x64` is on.

Without a type, JAX's counts become int64 and its draws float64 where 64-bit numbers are
switched on: another program, and other random numbers, than without.
"""

import jax
import jax.numpy as jnp

from robust_jax.core.types import Array, Key


def counted(marks: Array, axis: int | None = None) -> Array:
    """How many are marked, int32."""
    return jnp.sum(marks, axis, dtype=jnp.int32)


def counted_up(marks: Array) -> Array:
    """How many are marked up to each place, itself included, int32; shape [n]."""
    return jnp.cumsum(marks, dtype=jnp.int32)


def coins(key: Key, shape: tuple[int, ...]) -> Array:
    """Fair coins, bool."""
    return jax.random.bernoulli(key, jnp.float32(0.5), shape)


def signs(key: Key, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    """+1 or -1 with equal chances; as `jax.random.rademacher`."""
    return (2 * coins(key, shape).astype(jnp.int32) - 1).astype(dtype)
