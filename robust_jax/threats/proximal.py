"""Proximal operators of norms, on vectors [d].

Each gives the minimiser z of ||z - v||_2^2 / 2 + weight * size(z): the point v, drawn
towards zero as a descent of the size would. All share the arguments v [d] and weight
[] > 0, of one dtype.
"""

import jax.numpy as jnp

from robust_jax.core.types import Array
from robust_jax.threats import norms, projections


def linf(v: Array, weight: Array) -> Array:
    """Of the largest absolute entry: v less its projection onto an L1 ball (Moreau)."""
    zeros, wide = jnp.zeros_like(v), jnp.asarray(jnp.inf, v.dtype)
    return v - projections.l1(v, zeros, weight, -wide, wide)


def l2(v: Array, weight: Array) -> Array:
    """Of the Euclidean length: v shortened by weight, zero if it is shorter."""
    size = norms.l2(v)
    return v * jnp.maximum(1 - weight / jnp.where(size > 0, size, 1), 0)


def l1(v: Array, weight: Array) -> Array:
    """Of the sum of absolute entries: the soft threshold."""
    return jnp.sign(v) * jnp.maximum(jnp.abs(v) - weight, 0)


def two_thirds(v: Array, weight: Array) -> Array:
    """Of the sum of |z|^(2/3), a stand-in for the number of entries that are not zero.

    Guarantees: the global minimiser, which is zero up to 2 (2 weight / 3)^(3/4).

    References: Cao, Sun & Xu, "Fast image deconvolution using closed-form thresholding
        formulas of L_q (q = 1/2, 2/3) regularization", JVCIR 2013, Theorem 2. Differs
        from it in: half the square, so that its lambda is twice the weight.
    """
    size, factor = jnp.abs(v), 2 * weight
    moved = size > 2 * (factor / 3) ** 0.75
    size = jnp.where(moved, size, 1)
    angle = jnp.arccosh(jnp.maximum(27 / 16 * size**2 * factor**-1.5, 1)) / 3
    root = 2 / jnp.sqrt(3.0) * factor**0.25 * jnp.sqrt(jnp.cosh(angle))
    inner = jnp.maximum(2 * size / root - root**2, 0)
    return jnp.where(moved, jnp.sign(v) * ((root + jnp.sqrt(inner)) / 2) ** 3, 0)
