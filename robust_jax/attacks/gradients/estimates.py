"""Gradients from scores: what a black-box model's values around a point say.

Each is a `gradients.Gradient`, so that any attack that climbs a gradient becomes a
score-based one: `pgd(gradient=estimates.nes())`.
"""

import jax
import jax.numpy as jnp

from robust_jax.attacks.gradients.estimator import Estimate, Gradient, Query
from robust_jax.core import checks
from robust_jax.core.factories import factory
from robust_jax.core.narrow import signs
from robust_jax.core.types import Array

_NORMAL, _SIGNS = "normal", "signs"


@factory("samples")
def spsa(samples: int = 128, delta: float = 0.01) -> Gradient:
    """Simultaneous perturbation: differences along random signs.

    The mean over v of (f(x + delta v) - f(x - delta v)) / (2 delta) v, v of +-1. Its
    squared error falls as 1 / samples.
    Edge cases: points are not clipped to the box; values that are not finite count as
    equal.

    Args:
        samples: differences, >= 1, of two evaluations each; one more looks at x.
        delta: pixel units, > 0.
    Raises: ValueError: arguments outside these ranges.
    References: Spall, IEEE TAC 1992; as an attack, Uesato et al., ICML 2018, Sec. 4.

    >>> rj.attacks.pgd(20, gradient=rj.attacks.gradients.estimates.spsa(samples=64))
    pgd(steps=20, relative_step=0.0333, gradient=spsa(samples=64, delta=0.01))
    """
    return _two_sided(samples, delta, _SIGNS)


@factory("samples")
def nes(samples: int = 50, sigma: float = 0.001) -> Gradient:
    """Natural evolution strategies: differences along Gaussian directions, in pairs.

    The mean over u of (f(x + sigma u) - f(x - sigma u)) / (2 sigma) u. Its squared
    error falls as 1 / samples. See `spsa` for the edge cases.

    Args:
        samples: pairs, >= 1; one more evaluation looks at x.
        sigma: pixel units, > 0.
    Raises: ValueError: arguments outside these ranges.
    References: Ilyas et al., "Black-box Adversarial Attacks with Limited Queries and
        Information", ICML 2018, Alg. 1.

    >>> rj.attacks.gradients.estimates.nes(samples=10).forwards
    21
    """
    return _two_sided(samples, sigma, _NORMAL)


def _two_sided(samples: int, width: float, kind: str) -> Gradient:
    checks.positive_integer("samples", samples)
    checks.positive_number("delta" if kind == _SIGNS else "sigma", width)

    def estimate(query: Query, memory: tuple[()]) -> tuple[Estimate, tuple[()]]:
        draw = signs if kind == _SIGNS else jax.random.normal
        directions = draw(query.key, (samples, *query.x.shape), query.x.dtype)
        moved = jnp.concatenate([width * directions, -width * directions])
        points = jnp.concatenate([query.x[None], query.x[None] + moved])
        logits = jax.vmap(query.logits_fn)(points)
        values = jax.vmap(query.climb)(logits)
        up, down = values[1 : samples + 1], values[samples + 1 :]
        slopes = _finite(up - down) / (2 * width)
        grad = jnp.tensordot(slopes, directions, 1) / samples
        return Estimate(values[0], logits[0], grad.astype(query.x.dtype)), memory

    return Gradient(lambda x: (), estimate, forwards=2 * samples + 1, backwards=0)


def _finite(differences: Array) -> Array:
    return jnp.where(jnp.isfinite(differences), differences, 0)
