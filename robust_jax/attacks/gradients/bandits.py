"""Bandits: a gradient estimate that is kept from step to step, on coarse pixels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Estimate, Gradient, Query
from robust_jax.core import checks
from robust_jax.core.factories import factory
from robust_jax.core.images import from_image, image_shape
from robust_jax.core.types import Array, Threat

_EDGE = 1 - 1e-6  # Beyond, float32 would make a sign final.


class Prior(NamedTuple):
    """The gradient estimate, on the coarse grid."""

    grad: Array  # [h, w, C]


@factory("side")
def bandit(
    exploration: float = 1.0,
    width: float = 0.1,
    rate: float | None = None,
    side: int = 14,
) -> Gradient:
    """A prior that learns the gradient from two evaluations a step.

    The prior g is moved by the difference of values along g + d and g - d, d Gaussian
    of length `exploration`, times d: by exponentiated gradients in Linf, where its
    entries stay in [-1, 1], by plain ones in other norms. It is kept from step to
    step, since gradients of near points are alike, and lives on side x side blocks of
    pixels, since those of near pixels are.
    Edge cases: an axis of fewer than `side` pixels is not coarsened; values that are
    not finite count as equal. One more evaluation looks at x.

    Args:
        exploration: delta of the paper, > 0.
        width: of a difference, Euclidean length in pixel units, > 0.
        rate: of the prior, > 0; None is 100 in Linf and 0.1 in other norms.
        side: blocks along each axis, >= 1.
    Raises: ValueError: arguments outside these ranges.
    References: Ilyas et al., "Prior Convictions: Black-Box Adversarial Attacks with
        Bandits and Priors", ICLR 2019, Alg. 2 and 3, with the authors' constants; of
        299 pixels they take 50 blocks. Differs from their code in: an image smaller
        than `side` is taken as it is.
    """
    for name, value in (("exploration", exploration), ("width", width)):
        checks.positive_number(name, value)
    if rate is not None:
        checks.positive_number("rate", rate)
    checks.positive_integer("side", side)

    def init(x: Array) -> Prior:
        height, across, channels = image_shape(x.shape)
        shape = min(side, height), min(side, across), channels
        return Prior(jnp.zeros(shape, jnp.float32))

    def estimate(query: Query, memory: Prior) -> tuple[Estimate, Prior]:
        prior = memory.grad
        noise = exploration * jax.random.normal(query.key, prior.shape, prior.dtype)
        noise = noise / prior.size**0.5
        ahead = [_fine(g, query.x) for g in (prior + noise, prior - noise)]
        moved = [query.x + width * _unit(g).astype(query.x.dtype) for g in ahead]
        logits = jax.vmap(query.logits_fn)(jnp.stack([query.x, *moved]))
        values = jax.vmap(query.climb)(logits)
        slope = (values[1] - values[2]) / (width * exploration)
        slope = jnp.where(jnp.isfinite(slope), slope, 0)
        learnt = _learnt(query.threat, prior, slope * noise, rate)
        grad = _fine(learnt, query.x).astype(query.x.dtype)
        return Estimate(values[0], logits[0], grad), Prior(learnt)

    return Gradient(init, estimate, forwards=3, backwards=0)


def _learnt(threat: Threat, prior: Array, grad: Array, rate: float | None) -> Array:
    """The prior after one step; it climbs."""
    if not isinstance(threat, threats.Linf):
        return prior + (0.1 if rate is None else rate) * grad
    # Exponentiated gradients of a number in [-1, 1]: two weights that sum to one.
    odds = 2 * (100.0 if rate is None else rate) * grad
    return jnp.tanh(jnp.arctanh(jnp.clip(prior, -_EDGE, _EDGE)) + odds / 2)


def _fine(coarse: Array, x: Array) -> Array:
    """Blocks repeated to the size of x, [*S]."""
    height, width, _ = image_shape(x.shape)
    rows = np.arange(height) * coarse.shape[0] // height
    columns = np.arange(width) * coarse.shape[1] // width
    return from_image(coarse[rows][:, columns], x.shape)


def _unit(grad: Array) -> Array:
    length = jnp.sqrt(jnp.sum(grad**2))
    return grad / jnp.where(length > 0, length, 1)
