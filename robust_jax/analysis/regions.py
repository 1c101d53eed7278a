"""Units as detectors of parts of images: regions, their order, suppression (host)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robust_jax.analysis.directions import FeaturesFn, features
from robust_jax.core import checks
from robust_jax.core.brief import brief, brief_html

Boxes = NDArray[np.integer]  # [R, 5]: image, top, left, bottom, right


class Regions(NamedTuple):
    """The regions that excite a unit most, the strongest first."""

    boxes: Boxes
    values: NDArray[np.float32]  # over the unit's largest value, if that is positive

    def __repr__(self) -> str:
        return brief(self)

    def _repr_html_(self) -> str:
        return brief_html(self)


def propose(
    count: int, height: int, width: int, sizes: Sequence[int], stride: int
) -> Boxes:
    """Square regions of every size at every place of a grid, in each image.

    Args:
        count: images.
        height: of an image, pixels.
        width: the same.
        sizes: sides of the squares.
        stride: of the grid.
    Raises: ValueError: a size that does not fit; a number that is not positive.
    """
    for name, value in (("count", count), ("stride", stride)):
        checks.positive_integer(name, value)
    found = []
    for size in sizes:
        if not 0 < size <= min(height, width):
            raise ValueError(f"sizes: {size} in an image of {height} x {width}")
        tops = np.arange(0, height - size + 1, stride)
        lefts = np.arange(0, width - size + 1, stride)
        image, top, left = np.meshgrid(np.arange(count), tops, lefts, indexing="ij")
        corners = [image, top, left, top + size, left + size]
        found.append(np.stack(corners, axis=-1).reshape(-1, 5))
    return np.concatenate(found)


def crops(images: NDArray[np.floating], boxes: Boxes, size: int) -> NDArray[np.float32]:
    """What is in the regions, resampled to size x size, shape [R, size, size, C].

    Between pixels by bilinear interpolation; a region of that very size is a copy.
    """
    made = np.empty((len(boxes), size, size, images.shape[-1]), np.float32)
    for i, (image, top, left, bottom, right) in enumerate(boxes):
        part = images[image, top:bottom, left:right]
        made[i] = part if part.shape[:2] == (size, size) else _resized(part, size)
    return made


def overlap(boxes: ArrayLike, box: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of boxes [R, 4] with one [4]."""
    boxes, box = np.asarray(boxes, float), np.asarray(box, float)
    low = np.maximum(boxes[:, :2], box[:2])
    high = np.minimum(boxes[:, 2:], box[2:])
    common = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return common / (areas + np.prod(box[2:] - box[:2]) - common)


def nms(boxes: Boxes, scores: ArrayLike, most: float = 0.3) -> NDArray[np.integer]:
    """Greedy non-maximum suppression: the regions kept, the best first.

    A region goes if it overlaps a better one of the same image by more. Regions of
    equal score rank by their corners, so that their order does not count.

    Args:
        boxes: shape [R, 5].
        scores: shape [R].
        most: intersection over union, in [0, 1].
    Raises: ValueError: scores that do not fit; a share out of its range.
    """
    boxes, scores = np.asarray(boxes), np.asarray(scores)
    if not 0 <= most <= 1:
        raise ValueError(f"most={most}; expected a share in [0, 1]")
    if scores.shape != boxes.shape[:1]:
        raise ValueError(f"scores.shape={scores.shape} for {len(boxes)} boxes")
    order = np.lexsort((*boxes.T[::-1], -scores))
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        near = overlap(boxes[order, 1:], boxes[best, 1:]) > most
        order = order[~(near & (boxes[order, 0] == boxes[best, 0]))]
    return np.asarray(kept, int)


def rank_units(
    features_fn: FeaturesFn,
    images: NDArray[np.floating],
    boxes: Boxes,
    units: Sequence[int],
    size: int,
    *,
    top: int = 16,
    most: float = 0.3,
) -> list[Regions]:
    """For each unit the regions that excite it most.

    Args:
        features_fn: crops [B, size, size, C] -> features [B, *F], flattened.
        images: shape [N, H, W, C].
        boxes: the regions, as `propose` makes them.
        units: places in the flat features.
        size: of the net's input.
        top: regions at most.
        most: overlap left by suppression.
    References: Girshick et al., "Rich feature hierarchies for accurate object detection
        and semantic segmentation", CVPR 2014, Sec. 3.1.
    """
    found = features(features_fn, crops(images, boxes, size))[:, list(units)]
    ranked = []
    for values in found.T:
        kept = nms(boxes, values, most)[:top]
        largest = values.max()
        shown = values[kept] / largest if largest > 0 else values[kept]
        ranked.append(Regions(boxes[kept], shown))
    return ranked


def _resized(part, size):
    """By the centres of the pixels, as image libraries do."""
    places = [
        np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
        for n in part.shape[:2]
    ]
    for axis, place in enumerate(places):
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, part.shape[axis] - 1)
        share = (place - low).reshape([-1, *[1] * (part.ndim - axis - 1)])
        near, far = np.take(part, low, axis), np.take(part, high, axis)
        part = near + (far - near) * share
    return part
