"""Augmentation, one image at a time: (key, image) -> image, and mixtures of two."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.core import checks
from robust_jax.core.types import Array, Key

Augment = Callable[[Key, Array], Array]  # (key, image [H, W, C]) -> [H, W, C]


class Soft(NamedTuple):
    """An image and the distribution over classes that it stands for."""

    image: Array  # [H, W, C]
    target: Array  # [K], sums to one


Mixture = Callable[[Key, Soft, Soft], Soft]  # (key, example, partner) -> example


def random_crop(padding: int = 4) -> Augment:
    """A crop of the image's own size out of the image padded with zeros.

    Args:
        padding: pixels on each side, >= 1.
    Raises: ValueError: if padding is not an integer >= 1.

    >>> change = rj.train.augment.random_crop(padding=4)
    >>> jax.eval_shape(change, jax.random.key(0), jnp.zeros((32, 32, 3))).shape
    (32, 32, 3)
    """
    checks.positive_integer("padding", padding)

    def crop(key: Key, image: Array) -> Array:
        padded = jnp.pad(image, ((padding, padding), (padding, padding), (0, 0)))
        row, column = jax.random.randint(key, (2,), 0, 2 * padding + 1)
        return jax.lax.dynamic_slice(padded, (row, column, 0), image.shape)

    return crop


def horizontal_flip(key: Key, image: Array) -> Array:
    """The image or, as often, its mirror image.

    >>> flip = rj.train.augment.horizontal_flip
    >>> jax.eval_shape(flip, jax.random.key(0), jnp.zeros((32, 32, 3))).shape
    (32, 32, 3)
    """
    return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)


def cutout(size: int = 8) -> Augment:
    """A square of zeros around a random pixel, cut off at the borders.

    Args:
        size: side of the square in pixels, >= 1.
    Raises: ValueError: if size is not an integer >= 1.
    References: DeVries & Taylor, "Improved regularization of convolutional neural
        networks with cutout", 2017. Differs from the authors' code in: nothing for even
        sizes; an odd size is kept, where their square is one pixel smaller.

    >>> change = rj.train.augment.cutout(size=8)
    >>> jax.eval_shape(change, jax.random.key(0), jnp.zeros((32, 32, 3))).shape
    (32, 32, 3)
    """
    checks.positive_integer("size", size)

    def cut(key: Key, image: Array) -> Array:
        height, width, _ = image.shape
        centre = jax.random.randint(key, (2,), 0, jnp.array([height, width]))
        hole = _rectangle(image, centre - size // 2, jnp.array([size, size]))
        return jnp.where(hole, 0, image)

    return cut


def in_turn(*augments: Augment) -> Augment:
    """One augmentation after the other, each with a key of its own.

    >>> augment = rj.train.augment
    >>> change = augment.in_turn(augment.cutout(8), augment.horizontal_flip)
    >>> jax.eval_shape(change, jax.random.key(0), jnp.zeros((32, 32, 3))).shape
    (32, 32, 3)
    """

    def all_of(key: Key, image: Array) -> Array:
        for i, augment in enumerate(augments):
            image = augment(jax.random.fold_in(key, i), image)
        return image

    return all_of


def mixup(alpha: float = 1.0) -> Mixture:
    """The weighted mean of two examples, with a share of Beta(alpha, alpha).

    Args:
        alpha: > 0.
    Raises: ValueError: if alpha is not a finite number > 0.
    References: Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018.
        Differs from the authors' code in: a share per example, not per batch.

    >>> mix = rj.train.augment.mixup(alpha=1.0)
    >>> soft = rj.train.augment.Soft(jnp.zeros((8, 8, 1)), jnp.array([0.0, 1.0]))
    >>> jax.eval_shape(mix, jax.random.key(0), soft, soft).target.shape
    (2,)
    """
    checks.positive_number("alpha", alpha)

    def mix(key: Key, example: Soft, partner: Soft) -> Soft:
        share = jax.random.beta(key, alpha, alpha)
        mean = lambda a, b: share * a + (1 - share) * b  # noqa: E731
        return jax.tree.map(mean, example, partner)

    return mix


def cutmix(alpha: float = 1.0) -> Mixture:
    """A rectangle of the partner pasted in; targets mixed by the pixels' shares.

    The rectangle has the image's proportions, about 1 - s of its area with s of
    Beta(alpha, alpha), and a uniform centre; it is cut off at the borders.

    Args:
        alpha: > 0.
    Raises: ValueError: if alpha is not a finite number > 0.
    References: Yun et al., "CutMix", ICCV 2019, Alg. 1. Differs from the authors' code
        in: a rectangle per example, not per batch.

    >>> mix = rj.train.augment.cutmix(alpha=1.0)
    >>> soft = rj.train.augment.Soft(jnp.zeros((8, 8, 1)), jnp.array([0.0, 1.0]))
    >>> jax.eval_shape(mix, jax.random.key(0), soft, soft).target.shape
    (2,)
    """
    checks.positive_number("alpha", alpha)

    def mix(key: Key, example: Soft, partner: Soft) -> Soft:
        share_key, centre_key = jax.random.split(key)
        size = jnp.array(example.image.shape[:2])
        side = jnp.sqrt(1 - jax.random.beta(share_key, alpha, alpha))
        sides = 2 * (jnp.int32(side * size) // 2)
        centre = jax.random.randint(centre_key, (2,), 0, size)
        inside = _rectangle(example.image, centre - sides // 2, sides)
        share = 1 - jnp.mean(inside.astype(example.target.dtype))
        return Soft(
            jnp.where(inside, partner.image, example.image),
            share * example.target + (1 - share) * partner.target,
        )

    return mix


def _rectangle(image: Array, corner: Array, sides: Array) -> Array:
    """Where the rectangle is, shape [H, W, 1]."""
    rows, columns = (jnp.arange(n) for n in image.shape[:2])
    in_rows = (rows >= corner[0]) & (rows < corner[0] + sides[0])
    in_columns = (columns >= corner[1]) & (columns < corner[1] + sides[1])
    return (in_rows[:, None] & in_columns[None])[..., None]


AUGMENTS: dict[str, Callable[[int], Augment]] = {
    "crop": random_crop,
    "flip": lambda size: horizontal_flip,
    "cutout": cutout,
}
MIXTURES: dict[str, Callable[[float], Mixture]] = {"mixup": mixup, "cutmix": cutmix}


def by_names(names: Sequence[str]) -> Augment | None:
    """Augmentations such as ("crop-4", "flip"), one after the other; None of none.

    The number is the one argument: crop's padding, cutout's size.

    Raises: ValueError: an unknown name, a number that is none.

    >>> change = rj.train.augment.by_names(("crop-4", "flip"))
    """
    chosen = [_named("augmentation", name, AUGMENTS, int) for name in names]
    return in_turn(*chosen) if chosen else None


def mixture_by_name(name: str) -> Mixture | None:
    """A mixture such as "cutmix-1.0", whose number is alpha; None of "".

    Raises: ValueError: an unknown name, a number that is none.

    >>> mix = rj.train.augment.mixture_by_name("cutmix-1.0")
    """
    return _named("mixture", name, MIXTURES, float) if name else None


def _named(kind: str, text: str, known: Any, read: Callable[[str], Any]) -> Any:
    name, _, number = text.partition("-")
    checks.known_name(kind, name, known)
    try:
        return known[name](read(number or "1"))
    except ValueError as error:
        raise ValueError(
            f"{kind} {text!r}; expected a name and its number, such as crop-4"
        ) from error
