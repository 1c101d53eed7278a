"""The normal of a decision boundary, from yes and no at points around one of it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.core.types import Array


class Probes(NamedTuple):
    """What small displacements of a boundary point have shown so far."""

    signed: (
        Array  # [*S] sum of the displacements, minus those that were not adversarial
    )
    plain: Array  # [*S] sum of the displacements
    wins: Array  # [] int32, how many were adversarial
    asked: Array  # [] int32

    def after(self, adversarial: Array, displacement: Array) -> "Probes":
        sign = jnp.where(adversarial, 1, -1).astype(displacement.dtype)
        return Probes(
            self.signed + sign * displacement,
            self.plain + displacement,
            self.wins + adversarial,
            self.asked + 1,
        )

    def normal(self) -> Array:
        """The estimate [*S], of any length; zero before the first probe.

        The mean of the answers is a baseline, which is what makes the estimate good
        where most answers agree; if all agree, there is none.
        References: Chen et al. (HopSkipJump), S&P 2020, Eq. 16.
        """
        count = jnp.maximum(self.asked, 1).astype(self.plain.dtype)
        mean = 2 * self.wins / count - 1
        differ = (self.wins > 0) & (self.wins < self.asked)
        return (self.signed - jnp.where(differ, mean, 0) * self.plain) / count


def no_probes(x: Array) -> Probes:
    """Before the first probe of a point like x."""
    zero, none = jnp.zeros_like(x), jnp.zeros((), jnp.int32)
    return Probes(zero, zero, none, none)


def gaussian(noise: Array) -> Array:
    """Standard normal numbers from uniform ones in (-1, 1)."""
    return jnp.sqrt(2.0).astype(noise.dtype) * jax.scipy.special.erfinv(noise)


def unit(direction: Array) -> Array:
    """At Euclidean length one; zero stays zero."""
    largest = jnp.max(jnp.abs(direction))  # Squares stay in the range of float32.
    scaled = direction / jnp.where(largest > 0, largest, 1)
    return scaled / jnp.maximum(jnp.sqrt(jnp.sum(scaled**2)), 1)
