"""Which model an experiment is about, on which images: flags that experiments share."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from absl import flags

from robust_jax import interop
from robust_jax.commands.shared import (
    common,
    images as shared_images,
    numbers,
    recording,
)
from robust_jax.core import layout as layouts, origin
from robust_jax.core.types import LogitsFn
from robust_jax.datasets import Dataset
from robust_jax.evaluate.claims import predict
from robust_jax.evaluate.model import SAMPLES, adapted
from robust_jax.interop.loading import is_checkpoint, load_model

if TYPE_CHECKING:
    from robust_jax import models

_MODEL = flags.DEFINE_string(
    "model",
    "out/train/model.safetensors",
    "A file that robust-jax train wrote, or torch:module:factory, onnx:FILE, "
    "flax:module:factory, python:module:function, robustbench:NAME, sklearn:FILE.",
)
flags.DEFINE_alias("checkpoint", "model")
_WEIGHTS = flags.DEFINE_string("weights", None, "Of torch, flax and robustbench.")
_INPUT_RANGE = flags.DEFINE_list(
    "input_range",
    None,
    "Black and white to the net, such as -1,1 or 0,255; default 0,1.",
)
_MEAN = flags.DEFINE_list(
    "mean", None, "Subtracted inside, in units of --input_range; or one per channel."
)
_STD = flags.DEFINE_list("std", None, "Divided by inside; one, or one per channel.")
_ALLOW_FACTORY = flags.DEFINE_bool(
    "allow_factory", False, "Import the module that a checkpoint names for its net."
)
_DESPITE_PARITY = flags.DEFINE_bool(
    "despite_parity", False, "Judge an imported net that differs from the original."
)
flags.adopt_module_key_flags(shared_images)
_COMPARED = 64  # Images on which an imported net is compared with the original.


class Subject(NamedTuple):
    """A model, and the images that it is asked about.

    Args:
        name: of the model, as the command says it.
        model: what the library attacks.
        data: images in [0, 1] of its layout.
        metadata: of a checkpoint; else empty.
    """

    name: str
    model: LogitsFn
    data: Dataset
    metadata: dict[str, Any]

    @property
    def source(self) -> str:
        """What is known of the model."""
        said = origin.of(self.model)
        return self.name if said is None else str(said)

    def note_in(self, run: recording.Run) -> None:
        """The record will have the model, its source and its parity."""
        said = origin.of(self.model)
        known = {} if said is None else said.to_json()
        run.series.setdefault("models", []).append({"name": self.name, **known})
        run.notes.append(f"Model: {self.source}.")

    @property
    def logits_fn(self) -> LogitsFn:
        """The model as a function of one channels-last example."""
        some = self.shown(self.data.pixels()[:1])
        return adapted(self.model, some, None, SAMPLES, common.SEED.value).logits_fn

    def answers(self, images: np.ndarray) -> np.ndarray:
        """Class numbers of images."""
        images = self.shown(images)
        return predict(self.logits_fn, images, len(images)).argmax(axis=1)

    def shown(self, images: np.ndarray) -> np.ndarray:
        """Images as figures have them, channels last."""
        is_first = layouts.is_first(origin.of(self.model))
        return layouts.to_last(images) if is_first else images

    def turned(self, data: Dataset) -> Dataset:
        """Images like its own, channels last."""
        return dataclasses.replace(data, images=self.shown(data.images))


def given(split: str = "test", count: int | None = None) -> Subject:
    """The model and the images of the flags, which fit each other.

    Raises: ValueError, ImportError, FileNotFoundError: what is wrong, in a sentence.
    """
    return named(_MODEL.value, split, count)


def all_given(count: int | None) -> list[Subject]:
    """As `given`, of several models with commas between them."""
    return [named(name, "test", count) for name in _MODEL.value.split(",")]


def named(name: str, split: str, count: int | None) -> Subject:
    """As `given`, of one of several models."""
    shared_images.check_flags()
    checkpoint = _checkpoint(name) if is_checkpoint(name) else None
    options = {
        "input_range": numbers.several("input_range", _INPUT_RANGE.value),
        "mean": numbers.several("mean", _MEAN.value),
        "std": numbers.several("std", _STD.value),
    }
    data = shared_images.given(checkpoint, split, count)
    try:
        model = _loaded(name, data, {k: v for k, v in options.items() if v is not None})
    except TypeError as error:  # A user's, as a flag says what it is of.
        raise ValueError(str(error)) from error
    subject = Subject(name, model, data, checkpoint.metadata if checkpoint else {})
    _ = subject.logits_fn  # Refuses images that it does not take.
    return subject


def _checkpoint(name: str) -> models.Checkpoint:
    for flag in (_INPUT_RANGE, _MEAN, _STD):
        if flag.value is not None:
            raise ValueError(
                f"{flag.name}={','.join(flag.value)}; model={name} is a checkpoint, "
                "which has its normalisation inside; leave it out (--image_range is of "
                "--images)"
            )
    from robust_jax import models  # Needs Flax.

    return models.load(name, allow_factory=_ALLOW_FACTORY.value)


def _loaded(name: str, data: Dataset, options: dict[str, Any]) -> LogitsFn:
    some = data.take(np.arange(min(len(data), _COMPARED))).pixels()
    model = load_model(
        name,
        weights=_WEIGHTS.value,
        layout=shared_images.layout_of(data),
        images=some,
        allow_factory=_ALLOW_FACTORY.value,
        **options,
    )
    if _DESPITE_PARITY.value:
        model = interop.despite_parity(model)
    return model
