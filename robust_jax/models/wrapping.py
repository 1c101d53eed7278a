"""What wrappers of nets share: the net as a pytree, strengths, a hash of an input."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike

from robust_jax.core.types import Array, LogitsFn

TINY = float(np.finfo(np.float32).tiny)  # The least strength that must not be zero.
_LARGEST = float(np.finfo(np.float32).max)


def as_partial(base: LogitsFn) -> Partial:
    """The net as a pytree; the weights of a plain function are constants."""
    return base if isinstance(base, Partial) else Partial(base)


def number(
    name: str, value: ArrayLike, low: float = -_LARGEST, high: float = _LARGEST
) -> Array:
    """A strength as a leaf of the model; traced ones cannot be checked.

    Raises: ValueError: a Python number outside [low, high].
    """
    if isinstance(value, int | float) and not low <= value <= high:
        least = "" if low == -_LARGEST else f" >= {low:g}"
        most = "" if high >= _LARGEST else f" and <= {high:g}"
        raise ValueError(f"{name}={value!r}; expected a finite number{least}{most}")
    return jnp.asarray(value, jnp.float32)


def hashed(x: Array) -> Array:
    """32 bits that any changed bit of x changes about half of."""
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32).ravel()
    odd = 2 * jnp.arange(bits.size, dtype=jnp.uint32) + 1
    mixed = jnp.sum(_scrambled(bits ^ (odd * jnp.uint32(0x9E3779B1))), dtype=jnp.uint32)
    return _scrambled(mixed)


def _scrambled(h: Array) -> Array:
    """MurmurHash3's finaliser."""
    h = (h ^ (h >> 16)) * jnp.uint32(0x85EBCA6B)
    h = (h ^ (h >> 13)) * jnp.uint32(0xC2B2AE35)
    return h ^ (h >> 16)
