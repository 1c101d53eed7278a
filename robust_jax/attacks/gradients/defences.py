"""For defences that are random or not differentiable: EOT and BPDA."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from robust_jax.attacks.gradients.estimator import (
    Estimate,
    Gradient,
    Query,
    exact,
    memory_each,
)
from robust_jax.core import checks
from robust_jax.core.factories import factory
from robust_jax.core.types import Array, Key, LogitsFn

Draw = Callable[[Key, LogitsFn], LogitsFn]  # one random version of the model


@factory("samples")
def expectation(
    draw: Draw, samples: int = 20, inner: Gradient | None = None
) -> Gradient:
    """EOT: value, logits and gradient averaged over random versions of the model.

    `draw(key, logits_fn)` gives one version: behind a random change of the input,
    `lambda key, f: lambda x: f(x + noise(key, x.shape))`, or with randomness of its
    own. A randomised net is passed to the attack as a function `net(x, key=FIXED)`,
    whose calls without a key judge the clean input, and drawn by
    `lambda key, net: lambda x: net(x, key)`.
    Guarantees: deterministic in key; fresh draws in every estimate. Iterates are judged
    by the mean logits: put it outermost, since transforms that judge x themselves
    would ask `logits_fn` as it came.
    Edge cases: one sample with non-finite logits makes the mean so. Each sample has a
    memory of its own. Samples are a batch: memory of the device grows with them.

    Args:
        draw: (key, logits_fn) -> logits_fn, pure; a named function, not a lambda
            written at the call, shares compiled programs between calls.
        samples: versions per estimate, >= 1.
        inner: the estimator asked of each version; `exact()` by default.
    Raises: ValueError: if samples is not an integer >= 1.
    References: Athalye et al., "Synthesizing Robust Adversarial Examples", ICML 2018.
        Differs from AutoAttack's code in: value and logits are means too, where it
        takes those of the last sample.

    >>> def noisy(key, net):
    ...     return lambda x: net(x + 0.1 * jax.random.normal(key, x.shape))
    >>> mean = rj.attacks.expectation(noisy, samples=8)
    >>> mean.forwards, rj.attacks.pgd(10, gradient=mean)
    (8, pgd(steps=10, relative_step=0.0333, gradient=expectation(draw=noisy,
    samples=8)))
    """
    checks.positive_integer("samples", samples)
    inner = inner or exact()

    def estimate(query: Query, memory: Any) -> tuple[Estimate, Any]:
        def estimate_at(key: Key, memory: Any) -> tuple[Estimate, Any]:
            version_key, inner_key = jax.random.split(key)
            version = draw(version_key, query.logits_fn)
            return inner.estimate(
                query._replace(key=inner_key, logits_fn=version), memory
            )

        keys = jax.random.split(query.key, samples)
        estimates, memory = jax.vmap(estimate_at)(keys, memory)
        return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), estimates), memory

    return Gradient(
        memory_each(inner, samples),
        estimate,
        samples * inner.forwards,
        samples * inner.backwards,
    )


def straight_through(
    part: Callable[[Any], Any], surrogate: Callable[[Any], Any] | None = None
) -> Callable[[Any], Any]:
    """BPDA: a part of the model with its own values and a surrogate's derivative.

    For what has no useful derivative: `lambda x: net(straight_through(quantise)(x))`
    is a model for every attack. `part` is never differentiated.
    Guarantees: the values are those of `part`, bit by bit; any order of derivatives,
    forward or reverse, is that of `surrogate` with respect to x.

    Args:
        part: x -> array or pytree of floats, the part as the model computes it.
        surrogate: x -> the same shapes, differentiable, near `part`; identity by
            default.
    Raises: ValueError: while tracing, if the shapes differ.
    References: Athalye et al., "Obfuscated Gradients Give a False Sense of Security",
        ICML 2018, Sec. 4.1.

    >>> rounded = rj.attacks.straight_through(jnp.round)
    >>> jax.value_and_grad(lambda x: 3.0 * rounded(x))(0.7)
    (Array(3., dtype=float32, weak_type=True), Array(3., dtype=float32, weak_type=True))
    """

    def passed(x: Any) -> Any:
        values = part(jax.lax.stop_gradient(x))
        slopes = x if surrogate is None else surrogate(x)
        shapes, others = (
            jax.tree.map(jnp.shape, values),
            jax.tree.map(jnp.shape, slopes),
        )
        if shapes != others:
            raise ValueError(
                f"part(x) has shape {shapes} and surrogate(x) {others}; expected the "
                "same; pass a differentiable surrogate of this shape"
            )
        return jax.tree.map(
            lambda v, s: _value_of(v, s.astype(v.dtype)), values, slopes
        )

    return passed


@jax.custom_jvp
def _value_of(value: Array, slope: Array) -> Array:
    return value


_value_of.defjvp(lambda primals, tangents: (primals[0], tangents[1]))
