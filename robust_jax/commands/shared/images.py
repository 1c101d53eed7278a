"""Which images an experiment is about: flags that experiments share."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any, cast

from absl import flags

from robust_jax import datasets
from robust_jax.commands.shared import common, numbers
from robust_jax.core import checks
from robust_jax.core.origin import Layout
from robust_jax.datasets import Dataset

if TYPE_CHECKING:
    from robust_jax import models

DATASET = flags.DEFINE_string(
    "dataset", None, "Default: the data set that the net was trained on."
)
IMAGES = flags.DEFINE_string(
    "images", None, "A .npz, or a folder of PNGs and JPEGs by class; for --dataset."
)
_LABELS = flags.DEFINE_string(
    "labels", None, "Of the .npz: the name of an array, or a .npy; default labels or y."
)
_RANGE = flags.DEFINE_list(
    "image_range",
    None,
    "Black and white in the .npz, such as -1,1; default 0,255 of bytes, else 0,1.",
)
_LAYOUT = flags.DEFINE_enum(
    "layout", None, ["HWC", "CHW"], "Of the .npz; default: where 1 or 3 channels are."
)
_CHANNELS = (1, 3)


def check_flags() -> None:
    """Raises ValueError for flags that do not go together; nothing is read."""
    path = IMAGES.value
    if path is not None and DATASET.value is not None:
        raise ValueError(
            f"images={path} and dataset={DATASET.value}; expected one of them"
        )
    if path is None or pathlib.Path(path).is_dir():
        why = (
            "is of --images, which is not given; pass it"
            if path is None
            else f"is of a .npz, and images={path} is a folder, which says so itself"
        )
        for flag in (_LABELS, _RANGE, _LAYOUT):
            if flag.value is not None:
                raise ValueError(f"{flag.name}={_text(flag.value)} {why}")
    _span()


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else value


def _span() -> tuple[float, float] | None:
    given = numbers.several("image_range", _RANGE.value)
    return None if given is None else checks.interval("image_range", given)


def given(
    checkpoint: models.Checkpoint | None, split: str, count: int | None
) -> Dataset:
    """The images of the flags, or the first `count` of them.

    Args:
        checkpoint: if the model is one; says the default data set.
        split: of a data set, or of a .npz that has some.
        count: None takes all; of a user's own no more than there are, unless asked.
    Raises: ValueError: no images, or what is wrong with them. FileNotFoundError: they
        are not where they should be.
    """
    path = IMAGES.value
    if path is None and checkpoint is not None:
        return common.load_for(checkpoint, DATASET.value, split, count)
    if path is None:
        if DATASET.value is None:
            raise ValueError("images=None and dataset=None; pass one of them")
        return common.load(DATASET.value, split, count)
    data = own(split)
    if checkpoint is not None:
        _check_shape(data, checkpoint.input_shape)
    if count is None or not flags.FLAGS["count"].present:
        count = min(len(data), count or len(data))
    return common.first(data, count)


def own(split: str) -> Dataset:
    """What --images names; `split` of a .npz that has some."""
    path = cast(str, IMAGES.value)
    if pathlib.Path(path).is_dir():
        return datasets.from_folder(path)
    return datasets.from_npz(
        path, labels=_LABELS.value, split=split, image_range=_span()
    )


def part(data: Dataset, split: str) -> Dataset:
    """Another split of the data set that the flags gave.

    Raises: ValueError: images of the user's without splits.
    """
    if IMAGES.value is None:
        return common.load(data.name, split)
    found = own(split)
    if found.split != split:
        raise ValueError(
            f"images={IMAGES.value} has no splits; expected a .npz with x_train, "
            "y_train, x_test and y_test, for models that are fitted here"
        )
    return found


def _check_shape(data: Dataset, wanted: tuple[int, ...]) -> None:
    """Raises ValueError unless images have the shape that a checkpoint says."""
    shape = data.images.shape[1:]
    if layout_of(data) == "CHW":
        shape = (*shape[1:], shape[0])
    if shape == wanted:
        return
    grey = "; add an axis of channels, images[..., None]" * (wanted == (*shape, 1))
    raise ValueError(
        f"images={IMAGES.value} has images of shape {data.images.shape[1:]}; the "
        f"checkpoint's net takes {wanted}{grey or '; choose another one'}"
    )


def layout_of(data: Dataset) -> Layout | None:
    """Where images have their channels; None of what are no images with channels."""
    shape = data.images.shape[1:]
    if _LAYOUT.value is not None or len(shape) != 3:
        return cast(Layout | None, _LAYOUT.value)
    if shape[-1] in _CHANNELS or IMAGES.value is None:
        return "HWC"
    return "CHW" if shape[0] in _CHANNELS else None
