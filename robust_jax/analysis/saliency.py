"""Which pixels matter for a score of one example (pure)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from robust_jax.core.types import Array, Key

ScoreFn = Callable[[Array], Array]  # one example [*S] -> []


def integrated_gradients(
    score_fn: ScoreFn, x: Array, baseline: Array | float = 0.0, steps: int = 64
) -> Array:
    """The gradient along the way from a baseline, times the way: shape [*S].

    Complete: the values sum to score(x) - score(baseline), up to the integral's error,
    here by the midpoint rule. A pixel that changes nothing has 0.

    Args:
        score_fn: one example [*S] -> [].
        x: the example, shape [*S].
        baseline: where nothing is to be seen, broadcast to [*S].
        steps: gradients.
    References: Sundararajan et al., "Axiomatic attribution for deep networks", ICML
        2017.
    """
    shares = (jnp.arange(steps) + 0.5) / steps
    way = x - jnp.broadcast_to(jnp.asarray(baseline, x.dtype), x.shape)
    gradients = jax.vmap(lambda share: jax.grad(score_fn)(x - (1 - share) * way))
    return way * gradients(shares).mean(axis=0)


def smooth_grad(
    score_fn: ScoreFn, x: Array, key: Key, noise: float = 0.15, samples: int = 64
) -> Array:
    """The mean gradient of noisy copies, shape [*S].

    Args:
        score_fn: one example [*S] -> [].
        x: the example, shape [*S].
        key: of the noise.
        noise: its standard deviation, pixel units.
        samples: copies.
    References: Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017; the
        noise is 10 to 20 % of the values' range there.
    """
    noises = noise * jax.random.normal(key, (samples, *x.shape), x.dtype)
    return jax.vmap(lambda e: jax.grad(score_fn)(x + e))(noises).mean(axis=0)


def grad_cam(maps: Array, gradients: Array) -> Array:
    """Where a layer sees what speaks for a class: shape [h, w], none below 0.

    Args:
        maps: a convolution's channels, shape [h, w, C].
        gradients: of the class's logit by them, the same shape.
    References: Selvaraju et al., "Grad-CAM: visual explanations from deep networks via
        gradient-based localization", ICCV 2017.
    """
    weights = gradients.mean(axis=(0, 1))
    return jax.nn.relu(maps @ weights)
