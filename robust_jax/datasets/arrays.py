"""A user's own images and labels as a data set."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robust_jax.core import array_checks, checks
from robust_jax.datasets.types import Dataset, dataset_ids

_BYTES = (0.0, 255.0)
_UNIT = (0.0, 1.0)
_DARK = 64  # Bytes that nowhere reach a quarter of 255 are counts of something else.
_UNITS = 4  # Of float32's last place may rounding have put a value outside.
_AT_ONCE = 1024  # Images; bounds the float64 copy that scaling needs.
_LAST_LABEL = int(np.iinfo(np.int32).max)


def from_arrays(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    name: str = "arrays",
    split: str = "",
    image_range: tuple[float, float] | None = None,
) -> Dataset:
    """Images and labels in memory as a data set.

    Axes stay as they are: [N, H, W, C] or [N, C, H, W], as the model takes them.
    Guarantees: bytes stay bytes; float32 images in [0, 1] keep their bits; what
    rounding put outside the range is put on its end; equal examples get equal ids,
    whatever their order.

    Args:
        images: numbers, shape [N, *S].
        labels: class numbers from 0 on, shape [N].
        name: of the data set, for reports.
        split: of it, if it is one, for reports.
        image_range: the values of black and white, which become 0 and 1; by default
            (0, 255) of bytes and (0, 1) of others.
    Returns: the data set; `num_classes` is the largest label and one, at least 2.
    Raises: ValueError: no numbers, NaN, values outside the range, and which there are;
        labels that are no class numbers, or not one per image.

    >>> data = rj.datasets.from_arrays(np.full((3, 2, 2, 1), 0.5), [0, 2, 1])
    >>> data.images.dtype, data.num_classes, len(data)
    (dtype('float32'), 3, 3)
    """
    given = _numbers(images)
    numbers = _class_numbers(labels, len(given))
    raw, scale = _scaled(given, _range_of(given, image_range))
    ids = dataset_ids(raw, numbers, scale)
    classes = max(2, int(numbers.max()) + 1)
    return Dataset(name, split, raw, numbers, ids, classes, scale)


def _numbers(images: ArrayLike) -> NDArray[Any]:
    made = array_checks.array("images", images, "numbers of shape [N, *S]")
    if not (checks.is_floating(made.dtype) or made.dtype.kind in "iu"):
        raise ValueError(
            f"images.dtype={made.dtype}; expected floats or integers; convert them"
        )
    if made.ndim < 2 or made.size == 0:
        raise ValueError(
            f"images.shape={made.shape}; expected one image or more, [N, *S]"
        )
    return made


def _class_numbers(labels: ArrayLike, n: int) -> NDArray[np.int32]:
    array_checks.labels(labels, n)
    made = np.asarray(labels)
    bad = (made < 0) | (made > _LAST_LABEL)
    if bad.any():
        first = int(np.argmax(bad))
        raise ValueError(
            f"labels[{first}]={made[first]}; expected class numbers from 0 on"
        )
    return made.astype(np.int32)


def _range_of(images: NDArray[Any], asked: Any) -> tuple[float, float]:
    if asked is not None:
        return checks.interval("image_range", asked)
    if images.dtype != np.uint8:
        return _UNIT
    most = int(images.max())
    if most < _DARK:
        raise ValueError(
            f"images are bytes from {images.min()} to {most}, where 255 would be "
            f"white; pass image_range, such as 0,{most} or 0,255"
        )
    return _BYTES


def _scaled(
    images: NDArray[Any], span: tuple[float, float]
) -> tuple[NDArray[Any], int]:
    """Bytes with the raw value of white, or float32 in [0, 1] and 1."""
    low, high = span
    _check_values(images, low, high)
    is_counts = images.dtype.kind in "iu" and low == 0 and high.is_integer()
    if is_counts and high <= np.iinfo(np.uint8).max:
        return images.astype(np.uint8, copy=False), int(high)
    made = np.empty(images.shape, np.float32)
    for at in range(0, len(images), _AT_ONCE):
        some = (images[at : at + _AT_ONCE].astype(np.float64) - low) / (high - low)
        made[at : at + _AT_ONCE] = np.clip(some, 0, 1)
    return made, 1


def _check_values(images: NDArray[Any], low: float, high: float) -> None:
    """Raises ValueError for NaN and for values outside the range."""
    finite = np.isfinite(images).reshape(len(images), -1).all(axis=1)
    if not finite.all():
        first = int(np.argmin(finite))
        raise ValueError(
            f"images[{first}] holds NaN or inf; remove or repair this image"
        )
    least, most = float(images.min()), float(images.max())
    slack = _UNITS * float(np.finfo(np.float32).eps) * max(abs(low), abs(high))
    if least < low - slack or most > high + slack:
        raise ValueError(
            f"images hold values from {least:.6g} to {most:.6g}, outside "
            f"image_range={low:g},{high:g}; pass the range that they are in as "
            "image_range, such as 0,255 or -1,1"
        )
