"""How many adversarial directions are there side by side? (pure)"""

import jax
import jax.numpy as jnp

from robust_jax.core import checks
from robust_jax.core.types import Array, Key


def aligned_directions(gradient: Array, count: int, key: Key) -> Array:
    """Orthonormal directions, all as much along a gradient as so many can be.

    Each has the cosine 1 / sqrt(count) with the gradient: no `count` orthonormal
    vectors can all have more. They span the gradient and random directions beside it.
    On a linear model a step of length s along each raises the loss by
    s |g| / sqrt(count): so many directions are adversarial together.

    Args:
        gradient: shape [*S], not zero.
        count: from 1 to the number of coordinates n.
        key: of the directions beside it.
    Returns: shape [count, *S].
    Raises: ValueError: more directions than coordinates.
    References: Tramer et al., "The space of transferable adversarial examples", 2017,
        Lemma 1 (the gradient aligned adversarial subspace).
    """
    checks.positive_integer("count", count)
    n = gradient.size
    if count > n:
        raise ValueError(f"count={count} directions of {n} coordinates; take fewer")
    beside = jax.random.normal(key, (n, count - 1))
    columns = jnp.concatenate([gradient.reshape(n, 1), beside], axis=1)
    basis, triangle = jnp.linalg.qr(columns)
    basis = basis * jnp.where(triangle[0, 0] < 0, -1, 1)  # The first is the gradient's.
    turned = basis @ _spreading(count)
    return turned.T.reshape(count, *gradient.shape)


def _spreading(count: int) -> Array:
    """The reflection that takes the first axis to the diagonal, [count, count]."""
    first = jnp.zeros(count).at[0].set(1.0)
    normal = first - jnp.full(count, count**-0.5)
    square = jnp.vdot(normal, normal)
    scale = jnp.where(square > 0, 2 / jnp.where(square > 0, square, 1), 0)
    return jnp.eye(count) - scale * jnp.outer(normal, normal)
