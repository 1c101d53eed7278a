"""Concepts in pictures of bright strokes, as masks: edges, holes, classes (host)."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_INK = 0.5  # From here on a pixel belongs to a stroke.
_STEEP = 0.5  # Of the steepest edge of an image.
_ORIENTATIONS = 8


def stroke_concepts(
    images: NDArray[np.floating], labels: NDArray[np.integer], num_classes: int = 10
) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    """Masks of what can be seen in images of bright strokes on black.

    Eight directions of edges, the strokes of each class, holes that strokes enclose,
    and the strokes of each quarter of the image.

    Args:
        images: pixels in [0, 1], shape [N, H, W, 1].
        labels: shape [N].
        num_classes: K.
    Returns: the names, and bool masks of shape [N, H, W, 13 + K].
    Raises: ValueError: images of more than one channel.
    """
    if images.shape[-1] != 1:
        raise ValueError(f"images.shape={images.shape}; expected one channel, of ink")
    pixels = images[..., 0].astype(np.float64)
    ink = pixels > _INK
    names = [f"edge {i * 360 // _ORIENTATIONS}°" for i in range(_ORIENTATIONS)]
    parts = [*_edges(pixels)]
    for label in range(num_classes):
        names.append(f"class {label}")
        parts.append(ink & (np.asarray(labels) == label)[:, None, None])
    names.append("hole")
    parts.append(np.stack([ndimage.binary_fill_holes(one) for one in ink]) & ~ink)
    down, across = (n // 2 for n in ink.shape[1:])
    for row, vertical in enumerate(("upper", "lower")):
        for column, horizontal in enumerate(("left", "right")):
            names.append(f"strokes {vertical} {horizontal}")
            inside = np.zeros(ink.shape[1:], bool)
            rows = slice(row * down, None if row else down)
            columns = slice(column * across, None if column else across)
            inside[rows, columns] = True
            parts.append(ink & inside)
    return tuple(names), np.stack(parts, axis=-1)


def _edges(pixels):
    """Where the image rises steeply, by the direction in which it does."""
    down = ndimage.sobel(pixels, axis=1)
    right = ndimage.sobel(pixels, axis=2)
    size = np.hypot(down, right)
    steep = size > _STEEP * size.max(axis=(1, 2), keepdims=True)
    turn = np.arctan2(down, right) / (2 * np.pi) * _ORIENTATIONS
    sector = np.round(turn).astype(int) % _ORIENTATIONS
    return [steep & (sector == i) for i in range(_ORIENTATIONS)]
