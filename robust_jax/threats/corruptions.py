"""Common corruptions: noise, blur, weather and files, in five severities."""

from collections.abc import Callable

import jax.numpy as jnp
from jax.typing import ArrayLike

from robust_jax.core import checks
from robust_jax.core.images import as_image, from_image
from robust_jax.core.types import Array, Key
from robust_jax.threats import (
    corruption_blur as blur,
    corruption_digital as digital,
    corruption_noise as noise,
)

SEVERITIES = (1, 2, 3, 4, 5)

_Function = Callable[[Key, Array, Array], Array]
_ALL: dict[str, _Function] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "gaussian_blur": blur.gaussian_blur,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": noise.snow,
    "fog": noise.fog,
    "brightness": noise.brightness,
    "contrast": digital.contrast,
    "pixelate": digital.pixelate,
    "jpeg": digital.jpeg,
    "elastic": digital.elastic,
}


def names() -> tuple[str, ...]:
    """The corruptions, noise first.

    >>> rj.threats.corruptions.names()[:3]
    ('gaussian_noise', 'shot_noise', 'impulse_noise')
    """
    return tuple(_ALL)


def corrupt(name: str, key: Key, x: Array, severity: ArrayLike) -> Array:
    """An image as a corruption makes it.

    Constants are those of CIFAR-10-C for 32 pixels; lengths grow with the image.
    Guarantees: in [0, 1]; deterministic in key; severity is traced.
    Edge cases: a grey image has no colours to shift; an image smaller than 8 pixels is
        padded for `jpeg`.

    Args:
        name: one of `names()`.
        key: of the corruption's draws.
        x: rank 2 to 4, pixels in [0, 1]; of a vector a column of pixels.
        severity: from 1 to 5, shape [].
    Returns: the shape and dtype of x.
    Raises: ValueError: an unknown name.
    References: Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to
        Common Corruptions and Perturbations", ICLR 2019. Differs from the authors'
        code in: edges are repeated; flakes and streaks of snow, motion and glass are
        drawn in floats, not by image files; JPEG keeps all colours; frost, which needs
        photographs, is left out, Gaussian blur is in its place.

    >>> image = jnp.full((1, 2, 3), 0.5)
    >>> rj.threats.corruptions.corrupt("brightness", jax.random.key(0), image, 3).max()
    Array(0.65, dtype=float32)
    """
    checks.known_name("corruption", name, _ALL)
    image = as_image(jnp.asarray(x, jnp.promote_types(x.dtype, jnp.float32)))
    changed = _ALL[name](key, image, jnp.asarray(severity, jnp.int32))
    return from_image(jnp.clip(changed, 0, 1), x.shape).astype(x.dtype)
