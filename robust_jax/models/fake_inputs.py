"""Fake defences by what is done to the input: hashes, votes, purification, detectors.

Each decides by another input than the one that was given, by steps that a gradient does
not see. Remedy of all: attacks on the net itself, judged by the defended one; gradients
averaged over a neighbourhood; searches by labels.
"""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jax.typing import ArrayLike

from robust_jax.core.types import Array, LogitsFn
from robust_jax.models.wrapping import as_partial, hashed, number

_COPIES = 8  # That vote.
_SEED = 22
_STEPS = 5  # Of a purification.
_UNSURE = 1e-3  # The share that a class without a vote keeps.


def hashed_shift(
    base: LogitsFn, size: ArrayLike = 0.2, cells: ArrayLike = 16.0
) -> Partial:
    """The net behind a pattern that the coarse image's hash chooses.

    Within a cell of the grid all is smooth; every step of an attack leaves its cell.
    Remedy: attack the net itself, judged by the defended one; search by labels.

    Args:
        base: the net, [*S] -> [K].
        size: of the pattern, pixel units, >= 0.
        cells: of the grid along each pixel's range, > 0.
    Returns: [*S] -> [K].
    Raises: ValueError: a size below 0.
    """
    knobs = number("size", size, 0), number("cells", cells, 0)
    return Partial(_hashed_shift, knobs, as_partial(base))


def votes(
    base: LogitsFn, sharpness: ArrayLike = 30.0, size: ArrayLike = 0.2
) -> Partial:
    """The logarithm of the share of eight shifted copies that vote for a class.

    Sharp votes are flat but for places where one copy changes its mind.
    Remedy: attack the net itself, judged by the defended one; search by labels.

    Args:
        base: the net, [*S] -> [K].
        sharpness: factor of the logits before each copy's softmax, >= 0.
        size: of the patterns that make the copies' inputs differ, pixel units, >= 0.
    Returns: [*S] -> [K].
    Raises: ValueError: a number below 0.
    """
    knobs = number("sharpness", sharpness, 0), number("size", size, 0)
    return Partial(_votes, knobs, as_partial(base))


def purified(base: LogitsFn, radius: ArrayLike = 0.1) -> Partial:
    """The net at a point near the input at which it is surer of its answer.

    Five steps up the likelihood of the class that it gives, by the gradient's signs,
    which have no derivative: an attack sees the net at the end of the way, not the way.
    Remedy: attack the net itself, judged by the defended one; search by labels.

    Args:
        base: the net, [*S] -> [K].
        radius: of the steps together, pixel units, >= 0.
    Returns: [*S] -> [K].
    Raises: ValueError: a radius below 0.
    References: Alfarra et al., "Combating adversaries with anti-adversaries", AAAI
        2022; broken by Croce et al., "Evaluating the adversarial robustness of adaptive
        test-time defenses", ICML 2022.
    """
    return Partial(_purified, number("radius", radius, 0), as_partial(base))


def detector(base: LogitsFn, level: ArrayLike = 0.02, stay: ArrayLike = 1.0) -> Partial:
    """The net, but where the image is rough it answers from a blurred one.

    What an attack adds raises the alarm, and beyond it the gradient is that of another
    function.
    Remedy: attack the net itself, judged by the defended one; search by labels.

    Args:
        base: the net, [*S] -> [K].
        level: of roughness, the mean square of what a blur removes, from which on an
            image is suspected, >= 0.
        stay: share of the blurred image in what is asked then, in [0, 1].
    Returns: [*S] -> [K].
    Raises: ValueError: a number out of range.
    """
    knobs = number("level", level, 0), number("stay", stay, 0, 1)
    return Partial(_detector, knobs, as_partial(base))


def _pattern(seed: Array, x: Array) -> Array:
    key = jax.random.key(seed, impl="threefry2x32")
    return jax.random.rademacher(key, x.shape).astype(x.dtype)


def _hashed_shift(knobs: tuple[Array, Array], base: LogitsFn, x: Array) -> Array:
    size, cells = knobs
    cell = jnp.round(x * cells)
    return base(x + (size * _pattern(hashed(cell), x)).astype(x.dtype))


def _votes(knobs: tuple[Array, Array], base: LogitsFn, x: Array) -> Array:
    sharpness, size = knobs
    keys = jax.random.split(jax.random.key(_SEED, impl="threefry2x32"), _COPIES)
    draws = jax.vmap(lambda key: jax.random.rademacher(key, x.shape))(keys)
    logits = jax.vmap(lambda draw: base(x + (size * draw).astype(x.dtype)))(draws)
    shares = jnp.mean(jax.nn.softmax(sharpness * logits), axis=0)
    return jnp.log(shares + _UNSURE)


def _purified(radius: Array, base: LogitsFn, x: Array) -> Array:
    class_ = jnp.argmax(base(x))

    def likelihood(point: Array) -> Array:
        return jax.nn.log_softmax(base(point))[class_]

    point = x
    for _ in range(_STEPS):
        way = jnp.sign(jax.grad(likelihood)(jax.lax.stop_gradient(point)))
        point = point + (radius / _STEPS * way).astype(x.dtype)
    return base(point)


def _detector(knobs: tuple[Array, Array], base: LogitsFn, x: Array) -> Array:
    level, stay = knobs
    blurred = x
    for axis in range(min(2, x.ndim)):  # A binomial blur of each image axis.
        before, after = (jnp.roll(blurred, by, axis) for by in (1, -1))
        blurred = (before + 2 * blurred + after) / 4
    is_rough = jnp.mean((x - blurred) ** 2) > level
    asked = jnp.where(is_rough, x + (stay * (blurred - x)).astype(x.dtype), x)
    return base(asked)
