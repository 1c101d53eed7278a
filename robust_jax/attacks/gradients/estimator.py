"""What an attack asks of its model: value, logits and a direction of ascent.

An estimator is handed to an attack (`pgd(gradient=...)`) and asked once per step. The
plain one differentiates; the others, in `transforms`, take one and change what it is
asked or what it answers, so that they compose with each other and with any attack.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.core.factories import factory
from robust_jax.core.types import Array, Key, LogitsFn, Threat

Climb = Callable[[Array], Array]  # logits [K] -> [], what is to be climbed


class Query(NamedTuple):
    """What an estimator is asked: the objective of a model, at a point of one example.

    >>> asked = rj.attacks.gradients.Query(
    ...     key=jax.random.key(0),
    ...     logits_fn=net,
    ...     threat=rj.threats.Linf(0.1),
    ...     climb=lambda logits: -logits[0],
    ...     x=images[0],
    ... )
    >>> asked.climb(asked.logits_fn(asked.x))
    Array(-0.2, dtype=float32)
    """

    key: Key  # of the draws of this estimate
    logits_fn: LogitsFn
    threat: Threat
    climb: Climb
    x: Array  # [*S]


class Estimate(NamedTuple):
    """What an estimator answers.

    >>> zeros = np.zeros(2)
    >>> rj.attacks.gradients.Estimate(value=-0.2, logits=zeros, grad=zeros).value
    -0.2
    """

    value: Array  # [] the objective at x
    logits: Array  # [K] of the model at x
    grad: Array  # [*S] a direction that climbs the objective, every entry finite


class Gradient(NamedTuple):
    """An estimator of the objective's gradient. One example.

    `estimate` answers for the query's x itself in `value` and `logits`, whatever
    points it visits for `grad`: the attack judges and remembers x.

    >>> rj.attacks.gradients.exact().init(images[0])  # It remembers nothing.
    ()
    """

    init: Callable[[Array], Any]  # x [*S] -> memory, () if there is none
    # (query, memory) -> (estimate, memory)
    estimate: Callable[[Query, Any], tuple[Estimate, Any]]
    forwards: int  # model evaluations of one estimate
    backwards: int  # gradients of one estimate


@factory()
def exact() -> Gradient:
    """The gradient itself, by one forward and one backward pass.

    Entries that are not finite count as zero.

    >>> climb, key = lambda logits: -logits[0], jax.random.key(0)
    >>> threat = rj.threats.Linf(0.1)
    >>> asked = rj.attacks.gradients.Query(key, net, threat, climb, images[0])
    >>> seen, memory = rj.attacks.gradients.exact().estimate(asked, ())
    >>> seen.value, seen.grad
    (Array(-0.2, dtype=float32), Array([-1., 1.], dtype=float32))
    """

    def estimate(query: Query, memory: tuple[()]) -> tuple[Estimate, tuple[()]]:
        def value_and_logits(x):
            logits = query.logits_fn(x)
            return query.climb(logits), logits

        differentiated = jax.value_and_grad(value_and_logits, has_aux=True)
        (value, logits), grad = differentiated(query.x)
        return Estimate(value, logits, finite(grad)), memory

    return Gradient(lambda x: (), estimate, forwards=1, backwards=1)


@factory()
def without() -> Gradient:
    """No gradient, zeros in its place: for attacks that ask for values alone.

    >>> rj.attacks.gradients.without().backwards
    0
    """

    def estimate(query: Query, memory: tuple[()]) -> tuple[Estimate, tuple[()]]:
        logits = query.logits_fn(query.x)
        nothing = jax.tree.map(jnp.zeros_like, query.x)
        return Estimate(query.climb(logits), logits, nothing), memory

    return Gradient(lambda x: (), estimate, forwards=1, backwards=0)


def finite(grad: Array) -> Array:
    """The gradient with zeros where its entries are not finite; any pytree.

    >>> rj.attacks.gradients.finite(jnp.array([1.0, jnp.nan, jnp.inf]))
    Array([1., 0., 0.], dtype=float32)
    """
    return jax.tree.map(lambda g: jnp.where(jnp.isfinite(g), g, 0), grad)


def judged_at(query: Query, grad: Array) -> Estimate:
    """x itself, by one forward, beside a gradient found elsewhere."""
    logits = query.logits_fn(query.x)
    return Estimate(query.climb(logits), logits, grad)


def memory_each(inner: Gradient, count: int) -> Callable[[Array], Any]:
    """A memory of its own for each of `count` queries of an estimator, stacked."""

    def init(x: Array) -> Any:
        return jax.tree.map(lambda m: jnp.stack([m] * count), inner.init(x))

    return init
