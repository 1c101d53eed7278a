"""Estimators that remember earlier steps: the look-ahead, and variance tuning.

Each takes the estimator that it wraps as `inner`, as those of `transforms` do.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from robust_jax.attacks.gradients.estimator import (
    Estimate,
    Gradient,
    Query,
    exact,
    judged_at,
)
from robust_jax.core import checks
from robust_jax.core.factories import factory
from robust_jax.core.types import Array, Key, Threat


@factory()
def lookahead(
    relative_step: float = 0.1, decay: float = 1.0, inner: Gradient | None = None
) -> Gradient:
    """NI: the gradient at the point that accumulated gradients are about to reach.

    The gradient is that at x + decay * relative_step * eps * m; then
    m <- decay * m + grad / mean(abs(grad)). Give it the step size and decay of the
    momentum rule that it runs ahead of.
    Guarantees: value and logits are those of x, for one forward more.
    Edge cases: the point may leave ball and box; a zero gradient adds nothing to m.

    Args:
        relative_step: step size as a multiple of eps, > 0.
        decay: weight of the past, >= 0.
        inner: the estimator asked at that point; `exact()` by default.
    Raises: ValueError: for numbers outside their ranges.
    References: Lin et al., "Nesterov Accelerated Gradient and Scale Invariance for
        Adversarial Attacks", ICLR 2020, Alg. 1, normalised as in the authors' code
        (the paper's L1 norm would make the move vanish). Differs in: nothing for Linf;
        in other norms eps m is measured in `even_move`s.

    >>> ahead = rj.attacks.lookahead(0.1, inner=rj.attacks.scale_invariance(copies=3))
    >>> ahead.forwards, ahead.backwards
    (4, 3)
    """
    checks.positive_number("relative_step", relative_step)
    checks.non_negative_number("decay", decay)
    inner = inner or exact()

    def estimate(query: Query, memory: Any) -> tuple[Estimate, Any]:
        direction, inner_memory = memory
        ahead = _ahead(query, decay * relative_step, direction)
        seen, inner_memory = inner.estimate(ahead, inner_memory)
        direction = _accumulated(direction, decay, seen.grad)
        return judged_at(query, seen.grad), (direction, inner_memory)

    return Gradient(
        lambda x: (_work_zeros(x), inner.init(x)),
        estimate,
        inner.forwards + 1,
        inner.backwards,
    )


@factory("samples")
def variance_tuning(
    samples: int = 20, relative_radius: float = 1.5, inner: Gradient | None = None
) -> Gradient:
    """VT: the gradient plus how gradients nearby differed from it one step ago.

    The answer is grad + v; then v <- mean of the gradients at `samples` points around
    x - grad. The points are uniform in a cube of half width relative_radius * eps.
    `inner` answers for the neighbours with the memory it had; only the estimate at x
    renews it. Neighbours are a batch: memory of the device grows with samples.

    Args:
        samples: neighbours, >= 1.
        relative_radius: half width of the cube as a multiple of eps, > 0.
        inner: the estimator asked at all of these points; `exact()` by default.
    Raises: ValueError: for numbers outside their ranges.
    References: Wang & He, "Enhancing the Transferability of Adversarial Attacks
        through Variance Tuning", CVPR 2021, Alg. 1. Differs in: nothing for Linf; in
        other norms eps is measured in `even_move`s.

    >>> rj.attacks.variance_tuning(samples=5).backwards
    6
    """
    checks.positive_integer("samples", samples)
    checks.positive_number("relative_radius", relative_radius)
    inner = inner or exact()
    mean_around = _mean_around(samples, relative_radius, inner)

    def estimate(query: Query, memory: Any) -> tuple[Estimate, Any]:
        variance, before = memory
        key, around_key = jax.random.split(query.key)
        seen, inner_memory = inner.estimate(query._replace(key=key), before)
        mean = mean_around(query._replace(key=around_key), before)
        tuned = seen._replace(grad=_sum(seen.grad, variance))
        return tuned, (_difference(mean, seen.grad), inner_memory)

    return Gradient(
        lambda x: (_work_zeros(x), inner.init(x)),
        estimate,
        (samples + 1) * inner.forwards,
        (samples + 1) * inner.backwards,
    )


@factory("samples")
def nesterov_variance_tuning(
    samples: int = 20,
    relative_radius: float = 1.5,
    relative_step: float = 0.1,
    decay: float = 1.0,
    inner: Gradient | None = None,
) -> Gradient:
    """VNI: variance tuning of the gradient at the look-ahead point.

    The gradient is that at x + decay * relative_step * eps * m, the neighbours are
    those of x, and m accumulates the tuned gradients. So it is no nesting of
    `lookahead` and `variance_tuning`: inside, the look-ahead would accumulate
    untuned gradients; outside, it would take the neighbours along.
    Guarantees: value and logits are those of x, for one forward more.

    Args:
        samples, relative_radius: as in `variance_tuning`.
        relative_step, decay: as in `lookahead`.
        inner: the estimator asked at all of these points; `exact()` by default.
    Raises: ValueError: for numbers outside their ranges.
    References: Wang & He, CVPR 2021, as in the authors' code, where v is the mean
        around x minus the gradient at the look-ahead point. Differs in: nothing for
        Linf; in other norms eps is measured in `even_move`s.

    >>> tuned = rj.attacks.nesterov_variance_tuning(samples=5)
    >>> tuned.forwards, tuned.backwards
    (7, 6)
    """
    checks.positive_integer("samples", samples)
    checks.positive_number("relative_radius", relative_radius)
    checks.positive_number("relative_step", relative_step)
    checks.non_negative_number("decay", decay)
    inner = inner or exact()
    mean_around = _mean_around(samples, relative_radius, inner)

    def estimate(query: Query, memory: Any) -> tuple[Estimate, Any]:
        direction, variance, before = memory
        key, around_key = jax.random.split(query.key)
        ahead = _ahead(query, decay * relative_step, direction)
        seen, inner_memory = inner.estimate(ahead._replace(key=key), before)
        mean = mean_around(query._replace(key=around_key), before)
        tuned = _sum(seen.grad, variance)
        direction = _accumulated(direction, decay, tuned)
        memory = direction, _difference(mean, seen.grad), inner_memory
        return judged_at(query, tuned), memory

    return Gradient(
        lambda x: (_work_zeros(x), _work_zeros(x), inner.init(x)),
        estimate,
        (samples + 1) * inner.forwards + 1,
        (samples + 1) * inner.backwards,
    )


def even_move(threat: Threat, x: Array) -> Array:
    """How far every coordinate may move if all move alike: eps itself for Linf.

    eps / sqrt(d) for L2, eps / d for L1 and L0: what gives a norm's radius to methods
    that were written for Linf.
    """
    ones = jax.tree.map(jnp.ones_like, x)
    zeros = jax.tree.map(jnp.zeros_like, x)
    return jnp.asarray(threat.eps) / threat.distance(ones, zeros)


def _mean_around(
    samples: int, relative_radius: float, inner: Gradient
) -> Callable[..., Array]:
    """The mean gradient at random neighbours; arguments of `Gradient.estimate`."""

    def mean_around(query: Query, memory: Any) -> Array:
        half_width = relative_radius * even_move(query.threat, query.x)

        def gradient_nearby(key: Key) -> Array:
            where_key, inner_key = jax.random.split(key)
            cube = optax.tree.random_like(where_key, query.x, _uniform_in_the_cube)
            near = _moved(query.x, half_width, cube)
            return inner.estimate(query._replace(key=inner_key, x=near), memory)[0].grad

        grads = jax.vmap(gradient_nearby)(jax.random.split(query.key, samples))
        return jax.tree.map(lambda g: jnp.mean(g, axis=0), grads)

    return mean_around


def _ahead(query: Query, relative_length: float, direction: Array) -> Query:
    """The query at the point that accumulated gradients are about to reach."""
    length = relative_length * even_move(query.threat, query.x)
    return query._replace(x=_moved(query.x, length, direction))


def _uniform_in_the_cube(key: Key, shape: tuple[int, ...], dtype: Any) -> Array:
    return jax.random.uniform(key, shape, dtype, -1.0, 1.0)


def _moved(x: Array, length: Array, direction: Array) -> Array:
    return jax.tree.map(
        lambda leaf, d: (leaf + length * d).astype(leaf.dtype), x, direction
    )


def _accumulated(direction: Array, decay: float, grad: Array) -> Array:
    """decay * direction + grad / mean(abs(grad))."""
    grad = _work(grad)
    mean = optax.tree.sum(jax.tree.map(jnp.abs, grad)) / optax.tree.size(grad)
    mean = jnp.maximum(mean, jnp.finfo(mean.dtype).tiny)
    return jax.tree.map(lambda m, g: decay * m + g / mean, direction, grad)


def _sum(grad: Array, variance: Array) -> Array:
    return jax.tree.map(lambda g, v: (g + v).astype(g.dtype), grad, variance)


def _difference(mean: Array, grad: Array) -> Array:
    return jax.tree.map(jnp.subtract, _work(mean), _work(grad))


def _work(tree: Array) -> Array:
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)), tree
    )


def _work_zeros(x: Array) -> Array:
    return _work(jax.tree.map(jnp.zeros_like, x))
