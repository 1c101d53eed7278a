"""The size of a displacement, shape [d] -> [], in each norm."""

import jax.numpy as jnp
from jax import lax

from robust_jax.core.types import Array


def linf(delta: Array) -> Array:
    """The largest absolute coordinate."""
    return jnp.max(jnp.abs(delta))


def l2(delta: Array) -> Array:
    """The Euclidean length, safe from overflow and underflow.

    Guarantees: its gradient at zero is zero, not NaN.
    """
    largest = lax.stop_gradient(jnp.max(jnp.abs(delta)))  # The result is free of it.
    moved = largest > 0
    squares = jnp.sum((delta / jnp.where(moved, largest, 1)) ** 2)
    return largest * jnp.sqrt(jnp.where(moved, squares, 1))


def l1(delta: Array) -> Array:
    """The sum of the absolute coordinates."""
    return jnp.sum(jnp.abs(delta))


def l0(delta: Array) -> Array:
    """The number of coordinates that are not zero, in the dtype of delta."""
    return jnp.sum(delta != 0).astype(delta.dtype)
