"""Images that excite a unit, a direction or a class most, made by gradient ascent."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from robust_jax.core import checks
from robust_jax.core.types import Array, Key

FeatureFn = Callable[[Array], Array]  # one image [H, W, C] -> features [D]
_GREY = 0.01  # Of the first image: noise around grey, before the sigmoid.


class Search(NamedTuple):
    """How images are looked for.

    `parameters`: "pixel" or "fourier", the numbers that are moved; `jitter`: pixels
    that the image is shifted by at random before each look; `decay` and `roughness`:
    weights of the mean squared pixel and of the mean squared step between neighbours;
    `diversity`: of the mean cosine between the images of one objective.
    """

    parameters: str = "fourier"
    steps: int = 128
    rate: float = 0.05
    jitter: int = 2
    decay: float = 0.0
    roughness: float = 0.0
    diversity: float = 0.0


def maximise(
    feature_fn: FeatureFn,
    directions: Array,
    shape: tuple[int, int, int],
    key: Key,
    search: Search | None = None,
    *,
    copies: int = 1,
) -> Array:
    """For each direction of the features images that go far along it.

    Args:
        feature_fn: one image [H, W, C], pixels in [0, 1] -> features [D].
        directions: shape [M, D]: unit vectors for units or classes, or any others.
        shape: (H, W, C).
        key: of the first images and the shifts.
        search: how; None stands for the defaults.
        copies: images for each direction.
    Returns: shape [M, copies, H, W, C], pixels in [0, 1].
    Raises: ValueError: parameters of another name; steps or copies below 1.
    References: Erhan et al., "Visualizing higher-layer features of a deep network",
        2009; Olah et al., "Feature visualization", Distill 2017, for the Fourier
        parameters, shifts and diversity.
    """
    search = search or Search()
    checks.known_name("parameters", search.parameters, ("fourier", "pixel"))
    checks.positive_integer("steps", search.steps)
    checks.positive_integer("copies", copies)
    is_pixel = search.parameters == "pixel"
    ascent = optax.adam(search.rate)

    def make(numbers: Array) -> Array:
        return jax.nn.sigmoid(numbers) if is_pixel else _image(numbers, shape)

    def loss(numbers: Array, direction: Array, shift: Array) -> Array:
        images = jax.vmap(make)(numbers)
        seen = jax.vmap(lambda x: jnp.roll(x, shift, (0, 1)))(images)
        gain = jax.vmap(feature_fn)(seen) @ direction
        return _cost(images, search) - gain.mean()

    def one(direction: Array, key: Key) -> Array:
        first_key, shift_key = jax.random.split(key)
        numbers = _first(first_key, copies, shape, search)
        reach = search.jitter + 1
        shifts = jax.random.randint(shift_key, (search.steps, 2), -search.jitter, reach)

        def step(carry, shift):
            numbers, state = carry
            gradient = jax.grad(loss)(numbers, direction, shift)
            change, state = ascent.update(gradient, state)
            return (optax.apply_updates(numbers, change), state), None

        carry, _ = jax.lax.scan(step, (numbers, ascent.init(numbers)), shifts)
        return jax.vmap(make)(carry[0])

    keys = jax.random.split(key, len(directions))
    return jax.vmap(one)(jnp.asarray(directions), keys)


def _first(key: Key, copies: int, shape: tuple[int, ...], search: Search) -> Array:
    if search.parameters == "pixel":
        return _GREY * jax.random.normal(key, (copies, *shape))
    height, width, channels = shape
    return _GREY * jax.random.normal(key, (copies, 2, height, width // 2 + 1, channels))


def _image(numbers: Array, shape: tuple[int, int, int]) -> Array:
    """Pixels of a spectrum [2, H, W // 2 + 1, C] whose low waves weigh more."""
    height, width, _ = shape
    waves = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    weights = (height * width) ** 0.5 / np.maximum(waves, 1 / max(height, width))
    spectrum = (numbers[0] + 1j * numbers[1]) * weights[..., None] / 4
    return jax.nn.sigmoid(jnp.fft.irfft2(spectrum, (height, width), axes=(0, 1)))


def _cost(images: Array, search: Search) -> Array:
    steps = jnp.mean(jnp.diff(images, axis=1) ** 2)
    steps += jnp.mean(jnp.diff(images, axis=2) ** 2)
    cost = search.decay * jnp.mean(images**2) + search.roughness * steps
    flat = (images - images.mean()).reshape(len(images), -1)
    flat /= jnp.sqrt(jnp.sum(flat**2, axis=1, keepdims=True) + 1e-12)
    others = 1 - jnp.eye(len(images))
    alike = jnp.sum(others * (flat @ flat.T)) / jnp.maximum(others.sum(), 1)
    return cost + search.diversity * alike
