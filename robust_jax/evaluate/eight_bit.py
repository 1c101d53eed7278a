"""Adversarial images as PNG, and what is left of them in 8 bits (host)."""

import csv
import dataclasses
import pathlib
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust_jax.core import extras, lift, records
from robust_jax.core.brief import brief, brief_html
from robust_jax.core.metrics import Proportion
from robust_jax.evaluate.claims import confirm
from robust_jax.evaluate.evaluation import Evaluation
from robust_jax.evaluate.results import HOLDS, Verdicts

_LEVELS = 255  # Of an 8-bit image.
_HAIR = 1e-3  # Of a level: float32 misses one by less.


@dataclasses.dataclass(frozen=True)
class EightBit:
    """What is left of adversarial images once they are saved with 8 bits.

    Attributes:
        positions: of the images that were broken, in the caller's order, [M].
        adversarial: whether the net is still wrong about them, [M] bool.
        inside: whether they are still in the threat set, [M] bool.
        robust_accuracy: of all N examples, with these images in the place of those
            that the attacks found; a broken one counts if it is both.
    """

    positions: NDArray[np.int64]
    adversarial: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    robust_accuracy: Proportion

    __repr__ = brief
    _repr_html_ = brief_html

    def __str__(self) -> str:
        m = len(self.positions)
        return (
            f"of {m} adversarial images {int(self.adversarial.sum())} are adversarial "
            f"in 8 bits and {int(self.inside.sum())} in the threat set: robust "
            f"accuracy {self.robust_accuracy}"
        )


def write_images(run: Evaluation, found: Verdicts, out: records.PathLike) -> EightBit:
    """See `Report.write_images`."""
    images, labels = run.examples.images, run.examples.labels
    if run.model.is_random:
        raise ValueError(
            "takes='example and key'; expected a net that draws nothing: one answer to "
            "a file is no verdict; write_examples takes any"
        )
    _check_pixels(images, run)
    _pillow()
    at = np.flatnonzero(found.winner >= 0)
    levels = _levels(found.x_adv[at], images[at])
    rounded = levels.astype(np.float32) / np.float32(_LEVELS)
    saved = _judged(run, found, at, rounded)
    folder = records.prepare_out_dir(out)
    clean = np.rint(images[at] * _LEVELS).astype(np.uint8)
    for row, position in enumerate(at):
        _write(folder / f"{position:05d}_clean.png", clean[row])
        _write(folder / f"{position:05d}_adversarial.png", levels[row])
    with (
        records.atomic_path(folder / "verdicts.csv") as temporary,
        temporary.open("w", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(["position", "id", "label", "stage", "adversarial", "inside"])
        for row, position in enumerate(at):
            stage = found.stages[found.winner[position]].name
            marks = int(saved.adversarial[row]), int(saved.inside[row])
            table.writerow(
                [position, found.ids[position], labels[position], stage, *marks]
            )
    return saved


def _levels(x_adv: NDArray[Any], x: NDArray[Any]) -> NDArray[np.uint8]:
    """The 8-bit values next to x_adv on the way to x, so that no norm grows."""
    way = np.sign(x_adv.astype(np.float64) - x)
    exact = x_adv.astype(np.float64) * _LEVELS
    towards = np.where(way > 0, np.floor(exact + _HAIR), np.ceil(exact - _HAIR))
    return np.where(way == 0, np.rint(exact), towards).astype(np.uint8)


def _judged(
    run: Evaluation, found: Verdicts, at: NDArray[np.int64], rounded: NDArray[Any]
) -> EightBit:
    """A fresh look at images in 8 bits."""
    examples = run.examples
    threat = lift.threat_of(run.threat, examples.images, at)
    given = examples.images[at], rounded, examples.labels[at]
    claims = confirm(run.model.logits_fn, threat, *given)
    is_adversarial, is_inside = (np.ones(len(at), bool) for _ in range(2))
    is_adversarial[claims.unconfirmed] = False
    is_inside[claims.outside] = False
    lost = int((is_adversarial & is_inside).sum())
    n, held = len(found.winner), int((found.winner == HOLDS).sum())
    accuracy = Proportion(held + len(at) - lost, n)
    return EightBit(at, is_adversarial, is_inside, accuracy)


def _check_pixels(images: NDArray[Any], run: Evaluation) -> None:
    """Raises ValueError for what no PNG holds."""
    faces = [np.asarray(run.threat.lower), np.asarray(run.threat.upper)]
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"images of shape {images.shape}; expected [N, H, W, 1] or [N, H, W, 3] to "
            "write as PNG; write_examples takes any"
        )
    if images.min() < 0 or images.max() > 1 or faces[0].min() < 0 or faces[1].max() > 1:
        raise ValueError(
            f"images from {images.min():.4g} to {images.max():.4g} in a box from "
            f"{faces[0].min():.4g} to {faces[1].max():.4g}; expected pixels in [0, 1] "
            "to write as PNG; write_examples takes any"
        )


def _write(path: pathlib.Path, image: NDArray[np.uint8]) -> None:
    with records.atomic_path(path) as temporary, temporary.open("wb") as file:
        gray = image[..., 0] if image.shape[-1] == 1 else image
        _pillow().fromarray(gray).save(file, format="PNG")


def _pillow() -> ModuleType:
    return extras.needed("PIL.Image", "plots", "Report.write_images")
