"""Do units detect concepts, and does a rotation of a layer keep that? (host)"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy import linalg, stats

from robust_jax.core import checks
from robust_jax.core.brief import brief, brief_html

Matrix = NDArray[np.floating]


class Dissection(NamedTuple):
    """What the D channels of a layer detect, of M concepts."""

    iou: NDArray[np.float64]  # [D, M] intersection over union, over all images
    concept: NDArray[np.int64]  # [D] the best of each channel, -1 below the threshold

    def __repr__(self) -> str:
        return brief(self)

    def _repr_html_(self) -> str:
        return brief_html(self)

    @property
    def unique(self) -> int:
        """How many concepts have a detector."""
        return len(set(self.concept[self.concept >= 0].tolist()))


def dissect(
    maps: NDArray[np.floating],
    masks: NDArray[np.bool_],
    *,
    quantile: float = 0.005,
    threshold: float = 0.04,
) -> Dissection:
    """Finds the concept that each channel of a layer is a detector of, if any.

    A channel fires where its map, enlarged to the images' size, is above the value
    that a share `quantile` of all its places exceeds. It detects the concept with
    whose mask the places where it fires overlap most, if they do by more than the
    threshold.
    Edge cases: a channel that never varies fires nowhere.

    Args:
        maps: a layer's activations, shape [N, h, w, D].
        masks: where the concepts are, shape [N, H, W, M].
        quantile: share of the places where it fires, in (0, 1).
        threshold: least intersection over union of a detector.
    Raises: ValueError: maps and masks of other numbers of images.
    References: Bau et al., "Network dissection", CVPR 2017, Sec. 2.2. Differs from the
        paper in: the level is that of the enlarged maps, whose peaks are lower, so that
        small maps fire as often as large ones.
    """
    checks.share("quantile", quantile)
    if len(maps) != len(masks):
        raise ValueError(f"{len(maps)} maps for {len(masks)} masks; expected as many")
    size = masks.shape[1:3]
    concepts = masks.reshape(-1, masks.shape[-1]).astype(np.float32)
    area = concepts.sum(axis=0, dtype=np.float64)
    iou = []
    for channel in np.moveaxis(maps, -1, 0):
        large = np.asarray(_enlarged(channel, size)).reshape(-1)
        fires = large > np.quantile(large, 1 - quantile)
        both = fires.astype(np.float32) @ concepts
        iou.append(both / np.maximum(fires.sum() + area - both, 1))
    found = np.stack(iou).astype(np.float64)
    best = found.argmax(axis=1)
    is_detector = found.max(axis=1) > threshold
    return Dissection(found, np.where(is_detector, best, -1))


def random_rotation(size: int, seed: int) -> Matrix:
    """A uniformly random rotation, float64 [size, size], of determinant 1."""
    if size < 2:
        raise ValueError(f"size={size}; expected at least 2 coordinates")
    return stats.special_ortho_group.rvs(size, random_state=seed)


def rotation_power(rotation: Matrix, alpha: float) -> Matrix:
    """A rotation carried out in part: Q^alpha, from the identity to Q.

    Each plane that Q turns by an angle is turned by alpha times that.

    Args:
        rotation: an orthogonal matrix of determinant 1, shape [n, n].
        alpha: 0 for the identity, 1 for Q.
    References: Bau et al., "Network dissection", CVPR 2017, Sec. 3.2.
    """
    triangle, vectors = linalg.schur(rotation.astype(complex), output="complex")
    turned = np.exp(1j * alpha * np.angle(np.diag(triangle)))
    return np.real((vectors * turned) @ vectors.conj().T)


@jax.jit
def _resized(maps, like):
    return jax.image.resize(maps, (maps.shape[0], *like.shape), "bilinear")


def _enlarged(maps, size):
    return _resized(jnp.asarray(maps), jnp.zeros(size))
