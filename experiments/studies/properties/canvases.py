"""Canvases with several digits each, and which digit a region shows."""

from typing import NamedTuple

import numpy as np

from robust_jax.datasets import Dataset

_FEWEST, _MOST = 4, 6  # digits of a canvas
_TRIES = 200


class Canvases(NamedTuple):
    """N canvases with their digits."""

    images: np.ndarray  # [N, 3H, 3W, 1]
    owners: np.ndarray  # [N, 3H, 3W]: the label of the digit whose ink it is, or -1


def made(data: Dataset, count: int, rng: np.random.Generator) -> Canvases:
    """Canvases of three images a side; digits do not overlap by more than a third."""
    height, width = data.images.shape[1:3]
    pixels = data.pixels()
    images = np.zeros((count, 3 * height, 3 * width, 1), np.float32)
    owners = np.full(images.shape[:3], -1)
    for image, owner in zip(images, owners, strict=True):
        places: list[tuple[int, int]] = []
        wanted = rng.integers(_FEWEST, _MOST + 1)
        for _ in range(_TRIES):
            if len(places) == wanted:
                break
            top, left = rng.integers(0, 2 * height + 1), rng.integers(0, 2 * width + 1)
            if any(
                abs(top - y) < 2 * height / 3 and abs(left - x) < 2 * width / 3
                for y, x in places
            ):
                continue
            places.append((top, left))
            which = rng.integers(len(data))
            area = slice(top, top + height), slice(left, left + width)
            ink = pixels[which, ..., 0] > image[area][..., 0]
            image[area] = np.maximum(image[area], pixels[which])
            owner[area][ink & (pixels[which, ..., 0] > 0.2)] = data.labels[which]
    return Canvases(images, owners)


def shown(owners: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The digit with the most ink in each region, -1 where there is none."""
    found = np.full(len(boxes), -1)
    for i, (image, top, left, bottom, right) in enumerate(boxes):
        part = owners[image, top:bottom, left:right]
        part = part[part >= 0]
        if len(part):
            found[i] = np.bincount(part).argmax()
    return found
