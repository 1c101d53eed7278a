"""Inputs of any shape, and pytrees of them, as one vector [d] and back."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from robust_jax.core.types import Array


def or_one(size: Array) -> Array:
    """A divisor that is not zero."""
    return jnp.where(size == 0, 1, size)


def as_vector(tree: Any) -> tuple[Array, Callable[[Array], Any]]:
    """The leaves as one vector [d], and the way back."""
    leaves, structure = jax.tree.flatten(tree)
    if len(leaves) > 1:
        return ravel_pytree(tree)
    leaf = jnp.asarray(leaves[0])  # Only a reshape: nothing is copied.

    def restore(vector: Array) -> Any:
        return jax.tree.unflatten(structure, [vector.reshape(leaf.shape)])

    return leaf.reshape(-1), restore


def work_dtype(vector: Array) -> jnp.dtype:
    """Float32 at least."""
    return jnp.promote_types(vector.dtype, jnp.float32)


def bound(bound: Any, like: Any) -> Array:
    """A scalar, or what the threat says of every coordinate, as one vector."""
    leaves = jax.tree.leaves(bound)
    if len(leaves) == 1 and jnp.ndim(leaves[0]) == 0:
        return jnp.asarray(leaves[0])
    full = jax.tree.map(lambda leaf, b: jnp.broadcast_to(b, leaf.shape), like, bound)
    return as_vector(full)[0]
