"""Averages of the weights along training: exponential ones, and SWA's plain mean.

A rule is `(average, variables, step) -> average`, pure, with the variables after the
step and the steps done before it. It averages all collections: the batch statistics of
an averaged net are by definition the same average of the live net's statistics. (The
codes of Gowal et al., of Rebuffi et al. and of Wang et al., and their PyTorch version,
copy the live ones; FastAT_Benchmark averages the whole state as here.) Izmailov et al.
run over the training set once more instead.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from robust_jax.core import checks
from robust_jax.core.types import Array
from robust_jax.train.state import Average


def ema(decay: float, *, warm_up: bool = True, first_step: int = 0) -> Average:
    """Exponential moving average: decay * average + (1 - decay) * variables.

    With `warm_up` the decay is min(decay, (1 + t) / (10 + t)), t = 1 at the first step
    after `first_step`, so that the first nets are soon forgotten.
    Guarantees: up to `first_step` the average is the live net.
    Edge cases: leaves that are not floats are copied; kept in the leaf's dtype.

    Args:
        decay: in (0, 1), such as 0.995.
        warm_up: see above; False is the constant decay from `first_step` on.
        first_step: steps done when averaging starts, >= 0.
    Raises: ValueError: an argument out of its range.
    References: Gowal et al., "Uncovering the limits of adversarial training against
        norm-bounded adversarial examples", 2020, Sec. 4.4 (0.995, with the warm-up).
        Differs from the authors' code in: batch statistics are averaged, not copied.

    >>> average = rj.train.ema(0.9, warm_up=False)
    >>> round(float(average(jnp.float32(1.0), jnp.float32(2.0), 0)), 3)
    1.1
    """
    checks.share("decay", decay)
    _check_first_step(first_step)

    def average(average: Any, variables: Any, step: Array) -> Any:
        t = jnp.maximum(step + 1 - first_step, 0)
        keep = jnp.minimum(decay, (1 + t) / (10 + t)) if warm_up else decay
        new_share = jnp.where(step >= first_step, 1 - keep, 1.0)
        return _moved(average, variables, new_share, step < first_step)

    return average


def swa(first_step: int, every: int = 1) -> Average:
    """Stochastic weight averaging: the mean of the nets of some steps, equal weights.

    Of the nets after first_step, first_step + every, first_step + 2 * every, ... steps.
    Guarantees: up to `first_step` the average is the live net; it counts from the step
    alone, so that a training that goes on from a checkpoint has the same average.
    Edge cases: leaves that are not floats are copied; first_step = 0 counts the net
    before training, as `new_state` starts with it.

    Args:
        first_step: steps done at the first net of the mean, >= 0.
        every: steps between nets, >= 1, such as those of an epoch.
    Raises: ValueError: an argument out of its range.
    References: Izmailov et al., "Averaging weights leads to wider optima and better
        generalization", UAI 2018, Alg. 1. Differs from the authors' code in: batch
        statistics are averaged, rather than taken anew in a run over the data.

    >>> average = rj.train.swa(first_step=1)
    >>> float(average(jnp.float32(1.0), jnp.float32(2.0), 1))  # After the second step.
    1.5
    """
    _check_first_step(first_step)
    checks.positive_integer("every", every)

    def average(average: Any, variables: Any, step: Array) -> Any:
        since = step + 1 - first_step
        count = jnp.maximum(since // every, 0) + 1  # Nets in the mean, this one too.
        is_due = (since >= 0) & (since % every == 0)
        new_share = jnp.where(is_due, 1 / count, 0.0)
        return _moved(average, variables, new_share, since <= 0)

    return average


def bank(
    decays: Sequence[float], *, warm_up: bool = True, first_step: int = 0
) -> tuple[tuple[str, Average], ...]:
    """Several `ema`, named "ema_0.995" by their decay, for `Learner.averages`.

    Which decay suits depends on the number of steps; validation may choose among these.

    Args: as of `ema`.
    Raises: ValueError: no decay, the same one twice, or an argument out of its range.

    >>> [name for name, average in rj.train.bank((0.99, 0.995))]
    ['ema_0.99', 'ema_0.995']
    """
    names = [f"ema_{decay:g}" for decay in decays]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"decays={tuple(decays)}; expected different ones, at least 1")
    rules = [ema(d, warm_up=warm_up, first_step=first_step) for d in decays]
    return tuple(zip(names, rules, strict=True))


def _moved(average: Any, new: Any, new_share: Array, is_live: Array) -> Any:
    """The average moved towards the new tree, or the new tree itself."""

    def leaf(old: Array, new: Array) -> Array:
        if not jnp.issubdtype(new.dtype, jnp.floating):
            return new
        moved = old + new_share * (new - old)
        return jnp.where(is_live, new, moved.astype(new.dtype))

    return jax.tree.map(leaf, average, new)


def _check_first_step(first_step: int) -> None:
    if first_step != 0:
        checks.positive_integer("first_step", first_step)
