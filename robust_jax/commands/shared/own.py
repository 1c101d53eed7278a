"""What a net is trained on, and where it goes: a data set's, or a user's own."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
from absl import flags

from robust_jax import models, train
from robust_jax.commands.shared import common, images
from robust_jax.core import layout as layouts
from robust_jax.core.factory_names import check_form
from robust_jax.datasets import Dataset
from robust_jax.models.user_nets import UserNet

flags.adopt_module_key_flags(images)
_VALIDATION = 10  # One of so many examples.


def name() -> str | None:
    """Of the data set that the flags give; None without any.

    Raises: ValueError: flags that do not go together.
    """
    images.check_flags()
    path = images.IMAGES.value
    return images.DATASET.value if path is None else pathlib.Path(path).name


def settings(texts: list[str]) -> dict[str, object]:
    """Values by path, of texts PART.FIELD=VALUE.

    Raises: ValueError: a text of another form.
    """
    found: dict[str, object] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"set={text!r}; expected PART.FIELD=VALUE")
        found[path] = value
    return found


def module_name(name: str) -> str:
    """The name of --module.

    Raises: ValueError: none of the form "package.module:Net".
    """
    check_form(name, "module")
    return name


def for_training(dataset: str, count: int | None) -> tuple[Dataset, Dataset]:
    """The images of the flags, or of a data set, to train and to validate on.

    Of a user's images without splits the tenth with the smallest ids, which are hashes,
    is for validation: the same examples each time, and equal ones on one side.
    Raises: ValueError: more than there are; see `given`.
    """
    if images.IMAGES.value is None:
        return common.load(dataset, "train", count), common.load(dataset, "validation")
    data = _channels_last(images.own("train"))
    if data.split:
        held = _channels_last(images.own("validation"))
    else:
        is_held = data.ids < np.sort(data.ids)[len(data) // _VALIDATION]
        data, held = data.take(~is_held), data.take(is_held)
    if not len(held) or not len(data):
        raise ValueError(
            f"images={images.IMAGES.value} are too few, or too alike, to train and to "
            "validate on"
        )
    return data if count is None else common.first(data, count), held


def _channels_last(data: Dataset) -> Dataset:
    if images.layout_of(data) != "CHW":
        return data
    return dataclasses.replace(data, images=layouts.to_last(data.images))


def save(
    path: pathlib.Path,
    trained: train.Trained,
    shape: tuple[int, ...],
    metadata: dict[str, Any],
) -> None:
    """Writes the net, a user's own with the name of its factory."""
    net: Any = trained.module
    given: dict[str, Any] = {"input_shape": shape, "metadata": metadata}
    if not isinstance(net, UserNet):
        models.save(path, net, trained.variables, **given)
        return
    own = {name: tree["net"] for name, tree in trained.variables.items()}
    given |= {"factory": net.factory, "config": dict(net.config)}
    models.save(path, net.net, own, options=dict(net.flags), **given)
