"""Common corruptions, part one: noise and weather. Images [H, W, C] in [0, 1].

All take (key, image, severity), severity [] integer from 1 to 5, traced; constants are
those of CIFAR-10-C (Hendrycks & Dietterich, ICLR 2019), lengths scaled from 32 pixels.
"""

import math

import jax
import jax.numpy as jnp

from robust_jax.core.types import Array, Key
from robust_jax.threats import corruption_blur as blur

_BRIGHTER = 1.5  # Snow whitens: 1.5 times the grey value plus a half.


def pick(values: tuple[float, ...], severity: Array) -> Array:
    """The constant of a severity."""
    return jnp.asarray(values, jnp.float32)[severity - 1]


def gaussian_noise(key: Key, x: Array, severity: Array) -> Array:
    """Normal noise."""
    scale = pick((0.04, 0.06, 0.08, 0.09, 0.10), severity)
    return x + scale * jax.random.normal(key, x.shape, jnp.float32)


def shot_noise(key: Key, x: Array, severity: Array) -> Array:
    """Poisson noise of so many quanta at full brightness."""
    quanta = pick((500, 250, 100, 75, 50), severity)
    return jax.random.poisson(key, jnp.maximum(x, 0) * quanta) / quanta


def impulse_noise(key: Key, x: Array, severity: Array) -> Array:
    """Salt and pepper, half each, on a share of the numbers."""
    share = pick((0.01, 0.02, 0.03, 0.05, 0.07), severity)
    draw = jax.random.uniform(key, x.shape, jnp.float32)
    return jnp.where(draw < share / 2, 0, jnp.where(draw < share, 1, x))


def fog(key: Key, x: Array, severity: Array) -> Array:
    """A cloud that is rough at all scales lies over the image."""
    amount = pick((0.2, 0.5, 0.75, 1.0, 1.5), severity)
    decay = pick((3.0, 3.0, 2.5, 2.0, 1.75), severity)
    cloud = plasma(key, x.shape[0], x.shape[1], decay)[..., None]
    brightest = jnp.max(x)
    return (x + amount * cloud) * brightest / (brightest + amount)


def snow(key: Key, x: Array, severity: Array) -> Array:
    """Streaks of flakes, and a whiter image."""
    flake_key, angle_key = jax.random.split(key)
    mean = pick((0.1, 0.1, 0.15, 0.25, 0.3), severity)
    spread = pick((0.2, 0.2, 0.3, 0.3, 0.3), severity)
    size = pick((1.0, 1.0, 1.75, 2.25, 1.25), severity)
    least = pick((0.6, 0.5, 0.55, 0.6, 0.65), severity)
    sigma = pick((3.0, 4.0, 4.0, 6.0, 12.0), severity)
    kept = pick((0.95, 0.9, 0.9, 0.85, 0.8), severity)
    draw = jax.random.normal(flake_key, x.shape[:2], jnp.float32)
    flakes = mean + spread * draw
    flakes = blur.zoomed(flakes[..., None], size)
    flakes = jnp.where(flakes < least, 0, jnp.minimum(flakes, 1))
    angle = jax.random.uniform(angle_key, (), jnp.float32, -135.0, -45.0)
    streaks = blur.along(flakes, angle, sigma)
    grey = jnp.mean(x, axis=2, keepdims=True)
    white = kept * x + (1 - kept) * jnp.maximum(x, _BRIGHTER * grey + 0.5)
    return white + streaks + streaks[::-1, ::-1]


def brightness(key: Key, x: Array, severity: Array) -> Array:
    """More value in the sense of hue, saturation, value."""
    more = pick((0.05, 0.1, 0.15, 0.2, 0.3), severity)
    value = jnp.max(x, axis=2, keepdims=True)
    lighter = jnp.minimum(value + more, 1)
    scaled = x * lighter / jnp.where(value > 0, value, 1)
    return jnp.where(value > 0, scaled, lighter)


def plasma(key: Key, height: int, width: int, decay: Array) -> Array:
    """A height map by diamonds and squares, in [0, 1], [height, width].

    Args:
        decay: by what the roughness falls from one scale to the next.
    """
    size = 2 ** max(1, math.ceil(math.log2(max(height, width))))
    field, step, rough = jnp.zeros((size, size), jnp.float32), size, jnp.float32(100.0)

    def middle(number: int, total: Array) -> Array:
        noise = jax.random.uniform(
            jax.random.fold_in(key, number), total.shape, jnp.float32, -1.0
        )
        return total / 4 + rough * rough * noise

    number = 0
    while step >= 2:
        half = step // 2
        corners = field[::step, ::step]
        square = corners + jnp.roll(corners, -1, 0)
        square = square + jnp.roll(square, -1, 1)
        field = field.at[half::step, half::step].set(middle(number, square))
        inner, outer = field[half::step, half::step], field[::step, ::step]
        left = inner + jnp.roll(inner, 1, 0) + outer + jnp.roll(outer, -1, 1)
        field = field.at[::step, half::step].set(middle(number + 1, left))
        top = inner + jnp.roll(inner, 1, 1) + outer + jnp.roll(outer, -1, 0)
        field = field.at[half::step, ::step].set(middle(number + 2, top))
        number, step, rough = number + 3, half, rough / decay
    field = field[:height, :width]
    low, high = jnp.min(field), jnp.max(field)
    return (field - low) / jnp.where(high > low, high - low, 1)
