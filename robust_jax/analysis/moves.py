"""Images moved by a given amount: shift, rotation, scale (host)."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from robust_jax.core import checks

Images = NDArray[np.floating]  # [N, H, W, C]


def translate(images: Images, down: float, across: float) -> Images:
    """Images shifted by so many pixels; what comes in at the edge is 0."""
    return _kept(images, ndimage.shift(images, (0, down, across, 0), order=1))


def rotate(images: Images, degrees: float) -> Images:
    """Images turned about their centre, against the clock; corners are 0."""
    turned = ndimage.rotate(images, degrees, axes=(1, 2), reshape=False, order=1)
    return _kept(images, turned)


def scale(images: Images, factor: float) -> Images:
    """Images enlarged about their centre, or shrunk; size kept, the margin is 0."""
    checks.positive_number("factor", factor)
    centre = (np.array(images.shape[1:3]) - 1) / 2
    offset = [0.0, *(centre - centre / factor), 0.0]
    matrix = [1.0, 1 / factor, 1 / factor, 1.0]
    return _kept(images, ndimage.affine_transform(images, matrix, offset, order=1))


def _kept(images, moved):
    return moved.clip(0, 1).astype(np.asarray(images).dtype)
