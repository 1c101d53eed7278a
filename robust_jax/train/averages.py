"""Averages of the weights along training: exponential ones, and equal ones (SWA).

A rule is (average so far, variables after a step, steps done before it) -> average, of
all collections: the batch statistics of an averaged net are the same average of the
live net's statistics. (Some authors copy the live statistics instead, some recompute
them; this needs neither data nor a second pass.) Integers are copied.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from robust_jax.core import checks
from robust_jax.core.types import Array
from robust_jax.train.state import Average


def ema(decay: float, *, warm_up: bool = True) -> Average:
    """decay * average + (1 - decay) * variables.

    With `warm_up` the decay of step t = 1, 2, ... is min(decay, (1 + t) / (10 + t)), so
    that the random first weights are forgotten at once.

    Args:
        decay: in (0, 1), per step.
        warm_up: whether early decays are smaller.
    Raises: ValueError: a decay out of its range.
    References: the warm-up is TensorFlow's, as Gowal et al. (2020) use it.
    """
    checks.share("decay", decay)

    def average(old: Any, new: Any, step: Array) -> Any:
        t = (step + 1).astype(jnp.float32)
        kept = jnp.minimum(decay, (1 + t) / (10 + t)) if warm_up else decay
        return _blend(old, new, 1 - kept)

    return average


def swa(first_step: int, every: int = 1) -> Average:
    """The mean of the variables after steps first_step, first_step + every, ...

    Until then it is the live net. Steps count from 1.

    Args:
        first_step: >= 1.
        every: steps between two nets that count, >= 1.
    Raises: ValueError: an argument out of its range.
    References: Izmailov et al., "Averaging weights leads to wider optima and better
        generalization", UAI 2018. Differs from the authors' code in: batch statistics
        are averaged, not recomputed.
    """
    checks.positive_integer("first_step", first_step)
    checks.positive_integer("every", every)

    def average(old: Any, new: Any, step: Array) -> Any:
        past = step + 1 - first_step
        counts = (past >= 0) & (past % every == 0)
        number = past // every + 1  # of nets that have counted, this one among them
        share = jnp.where(counts, 1 / jnp.maximum(number, 1), 0.0)
        return _blend(old, new, jnp.where(past < 0, 1.0, share))

    return average


def bank(decays: Sequence[float]) -> tuple[tuple[str, Average], ...]:
    """An exponential average for each decay, named such as "ema_0.995"."""
    return tuple((f"ema_{decay:g}", ema(decay)) for decay in decays)


def _blend(old: Any, new: Any, share: Any) -> Any:
    return jax.tree.map(functools.partial(_blend_leaf, share), old, new)


def _blend_leaf(share: Any, old: Array, new: Array) -> Array:
    if not jnp.issubdtype(new.dtype, jnp.floating):
        return new
    return old + share * (new - old)
