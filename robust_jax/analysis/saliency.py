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


def occlusion(score_fn: ScoreFn, x: Array, size: int, fill: float = 0.0) -> Array:
    """What a square cover over a pixel costs, the mean over all covers of it: [H, W].

    Args:
        score_fn: one example [H, W, C] -> [].
        x: the example, shape [H, W, C].
        size: side of the square, pixels.
        fill: what it covers with: the data's background.
    Raises: ValueError: a square that does not fit.
    References: Zeiler & Fergus, "Visualizing and understanding convolutional networks",
        ECCV 2014, Sec. 4.2, whose map is `occlude`'s.
    """
    height, width, channels = x.shape
    if not 0 < size <= min(height, width):
        raise ValueError(f"size={size} in an image of {height} x {width}")
    square = jnp.full((size, size, channels), fill, x.dtype)
    rows, columns = height - size + 1, width - size + 1
    tops, lefts = jnp.divmod(jnp.arange(rows * columns), columns)

    def lost(top: Array, left: Array) -> Array:
        return score_fn(x) - score_fn(
            jax.lax.dynamic_update_slice(x, square, (top, left, 0))
        )

    def spread(values: Array) -> Array:
        wide = jnp.pad(values.reshape(rows, columns), size - 1)
        return jax.scipy.signal.convolve2d(wide, jnp.ones((size, size)), "valid")

    return spread(jax.vmap(lost)(tops, lefts)) / spread(jnp.ones(rows * columns))
