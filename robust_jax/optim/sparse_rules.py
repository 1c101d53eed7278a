"""Step rules whose length is measured in L1: what sparse attacks move by.

Rules as in `optim.rules`. The steepest step of L1 moves one coordinate, which makes
slow progress; these move several, or all and leave it to a projection to choose.
"""

import math
import numbers

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from robust_jax.core import checks
from robust_jax.core.factories import factory
from robust_jax.core.types import Array, Threat
from robust_jax.optim.rules import Rule, l1_unit
from robust_jax.threats import L1, Linf
from robust_jax.threats.search import keep_largest


@factory("percentile")  # Shares of the coordinates are counted in double precision.
def sparse_sign(relative_step: float, percentile: float) -> Rule:
    """Equal steps on the largest gradient entries, `relative_step * eps` in all.

    Of d coordinates the ceil((1 - percentile / 100) * d) with the largest absolute
    gradients move, one at least. A coordinate on the face of the box towards which
    its gradient points counts as having gradient zero, as in `steepest`.
    Edge cases: zero entries do not move, the others share the step; of equal
    entries, the coordinates that come first.

    Args:
        relative_step: L1 length of a step as a multiple of eps, > 0.
        percentile: share of the coordinates that stay, in percent, in [0, 100).
    Raises: ValueError: for arguments outside those ranges, or when the rule is given
        a threat other than `threats.L1`.
    References: Tramer & Boneh, "Adversarial Training and Robustness for Multiple
        Perturbations", NeurIPS 2019, Alg. 1.

    >>> rule = rj.optim.sparse_sign(0.5, percentile=50)(rj.threats.L1(1.0))
    >>> x = jnp.full(2, 0.5)
    >>> rule.update(jnp.array([1.0, -3.0]), rule.init(x), x)[0]
    Array([0., 0.5], dtype=float32)
    """
    checks.positive_number("relative_step", relative_step)
    is_number = isinstance(percentile, numbers.Real)
    if not (is_number and 0 <= percentile < 100):
        raise ValueError(
            f"percentile={checks.shown(percentile)}; expected a number in [0, 100)"
        )

    def rule(threat: Threat) -> optax.GradientTransformation:
        if not isinstance(threat, L1):
            name = type(threat).__name__
            raise ValueError(
                f"threat={name}; expected threats.L1, whose eps measures the steps of "
                "sparse_sign; use optim.steepest for other norms"
            )

        def update(grad, x):
            climb = _movable(jax.tree.map(jnp.negative, grad), x, threat)
            size = sum(leaf.size for leaf in jax.tree.leaves(x))
            # Rounding forgives that 100 - 99.1 is a little more than 0.9.
            share = round((100 - percentile) * size / 100, 6)
            unit = sparse_unit(climb, jnp.asarray(max(math.ceil(share), 1)))
            return scaled(relative_step * threat.eps, unit)

        return optax.stateless(update)

    return rule


@factory()
def l1_normalised(step_size: float) -> Rule:
    """Dense steps: the gradient itself, at L1 length `step_size`.

    Args:
        step_size: L1 length of a step, pixel units, > 0.
    Raises: ValueError: if step_size is not a finite number > 0.

    >>> rule = rj.optim.l1_normalised(0.1)(rj.threats.L1(1.0))
    >>> x = jnp.full(2, 0.5)
    >>> rule.update(jnp.array([1.0, -3.0]), rule.init(x), x)[0]
    Array([-0.025, 0.075], dtype=float32)
    """
    checks.positive_number("step_size", step_size)

    def rule(threat: Threat) -> optax.GradientTransformation:
        def update(grad, x):
            return jax.tree.map(lambda g: -step_size * g, l1_unit(grad))

        return optax.stateless(update)

    return rule


def sparse_unit(climb: Array, count: Array) -> Array:
    """The signs of the `count` largest entries, at L1 length one.

    Edge cases: zero entries among them stay zero; a zero gradient gives zero.

    Args:
        climb: a direction, shape [*S] or a pytree, finite.
        count: entries to keep, shape [], integer >= 0.

    >>> rj.optim.sparse_unit(jnp.array([1.0, -3.0, 2.0]), jnp.array(2))
    Array([0., -0.5, 0.5], dtype=float32)
    """
    vector, restore = ravel_pytree(climb)
    sizes = jnp.abs(vector).astype(jnp.promote_types(vector.dtype, jnp.float32))
    kept = keep_largest(sizes, count.astype(sizes.dtype)) & (sizes > 0)
    share = 1 / jnp.maximum(jnp.sum(kept), 1).astype(sizes.dtype)
    return restore(jnp.where(kept, jnp.sign(vector), 0) * share.astype(vector.dtype))


def scaled(length: ArrayLike, unit: Array) -> Array:
    """length * unit, and zero where unit is, even if the length is infinite.

    >>> rj.optim.scaled(jnp.inf, jnp.array([0.5, 0.0]))
    Array([inf, 0.], dtype=float32)
    """
    return jax.tree.map(
        lambda u: jnp.where(u == 0, 0, length * u).astype(u.dtype), unit
    )


def _movable(climb, x, threat):
    """The entries of a direction that do not point out of the box."""
    free = Linf(1.0, threat.lower, threat.upper).steepest(climb, x)
    return jax.tree.map(lambda c, f: jnp.where(f == 0, 0, c), climb, free)
