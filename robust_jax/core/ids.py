"""Names for examples that depend on nothing but the example (host, NumPy only)."""

import hashlib
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robust_jax.core import array_checks


def example_ids(images: ArrayLike, labels: ArrayLike) -> NDArray[np.uint64]:
    """A stable 64-bit name for each example: the hash of its pixels and its label.

    BLAKE2b with an 8-byte digest over, all little-endian: the rank and the shape of
    one example and its label as int64, then its pixels as float32 in C order. So the
    id says nothing of position, batch or data set, and the keys that are folded from
    it make the first 100 examples alone draw the same numbers as the first 100 of
    1,000. Not for secrets.
    Guarantees: the same on every machine, for float16 to float64 and any memory layout
    of the same float32 values; about 1 GB/s.
    Edge cases: equal examples have equal ids; -0.0 counts as 0.0; no examples give [0].

    Args:
        images: pixels in [0, 1], floating, shape [N, *S].
        labels: integers, shape [N].
    Returns: ids, uint64, shape [N].
    Raises: ValueError: images are not floating, or labels are not N integers.

    >>> rj.core.ids.example_ids(np.zeros((2, 4)), [0, 1])
    array([1185411768025212705, 4600828372924218290], dtype=uint64)
    """
    images = array_checks.array("images", images, "floats of shape [N, *S]")
    labels = array_checks.array("labels", labels, "integers, one per image")
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(
            f"images.dtype={images.dtype}; expected floating pixels in [0, 1]; "
            "divide 8-bit images by 255"
        )
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels={labels.dtype}{list(labels.shape)}; expected integers of shape "
            f"{list(images.shape[:1])}; give one label per image"
        )
    shape = images.shape[1:]
    head = hashlib.blake2b(
        np.array([len(shape), *shape], "<i8").tobytes(), digest_size=8
    )
    rows = images.reshape(len(images), math.prod(shape))
    digests = []
    for row, label in zip(rows, labels.astype("<i8"), strict=True):
        one = head.copy()
        one.update(label.tobytes())
        row = row.astype(np.float32) + np.float32(0)  # -0.0 + 0.0 is 0.0
        one.update(row.astype("<f4").tobytes())
        digests.append(one.digest())
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)
