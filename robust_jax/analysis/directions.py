"""Do single units mean more than random directions of their layer? (host)

A direction v of a layer's features phi is understood by the images that go furthest
along it, the largest <phi(x), v>: for a unit's own direction these are the images that
excite it most.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike
from numpy.typing import NDArray
from scipy import stats

from robust_jax.analysis.tiled import tiled
from robust_jax.core import checks
from robust_jax.core.brief import brief, brief_html
from robust_jax.core.closures import as_partial
from robust_jax.core.types import Array, Key

FeaturesFn = Callable[[Array], Array]  # images [B, *S] -> features [B, *F]


@dataclasses.dataclass(frozen=True)
class TopInputs:
    """For each of M directions its k images, the furthest first."""

    indices: NDArray[np.integer]  # [M, k], places in the images
    values: NDArray[np.float32]  # [M, k], how far they go along it

    __repr__ = brief
    _repr_html_ = brief_html


def random_directions(key: Key, count: int, width: int) -> Array:
    """Unit vectors of a uniformly random direction, float32, shape [count, width]."""
    v = jax.random.normal(key, (count, width))
    return v / jnp.linalg.norm(v, axis=1, keepdims=True)


def features(
    features_fn: FeaturesFn, images: NDArray[np.floating], *, tile: int = 256
) -> NDArray[np.float32]:
    """What a layer says to all images, flat: float32, shape [N, D].

    Args:
        features_fn: images [B, *S] -> features [B, *F], pure and hashable: the same
            function is compiled once.
        images: pixels, shape [N, *S].
        tile: images of one call.
    """
    return tiled(Partial(_flat, as_partial(features_fn)), tile)(images)


def _flat(features_fn: FeaturesFn, batch: Array) -> Array:
    return features_fn(batch).reshape(len(batch), -1)


def top_inputs(
    features_fn: FeaturesFn,
    images: NDArray[np.floating],
    directions: ArrayLike | None,
    k: int = 8,
) -> TopInputs:
    """The images that go furthest along each direction of a layer's features.

    Features less their mean give the same images.
    Edge cases: of equal values the earlier image comes first.

    Args:
        features_fn: images [B, *S] -> features [B, *F], flattened to [B, D].
        images: pixels, shape [N, *S], N >= k.
        directions: shape [M, D]; None stands for the units, of which there are D.
        k: how many images for each.
    Raises: ValueError: fewer than k images; directions of another width.
    References: Szegedy et al., "Intriguing properties of neural networks", ICLR 2014,
        Sec. 3.1. The paper does not give the law of its random vectors; uniform here.
    """
    checks.positive_integer("k", k)
    if len(images) < k:
        raise ValueError(f"k={k} of {len(images)} images; expected at most as many")
    found = features(features_fn, images)
    scores = found if directions is None else _along(found, np.asarray(directions))
    values, order = jax.lax.top_k(jnp.asarray(scores.T), k)  # Stable.
    return TopInputs(np.asarray(order), np.asarray(values))


def purity(
    labels: NDArray[np.integer], top: TopInputs, num_classes: int
) -> NDArray[np.float64]:
    """For each direction the share of the commonest class among its images, [M]."""
    return _shares(labels, top, num_classes).max(axis=1)


def entropy(
    labels: NDArray[np.integer], top: TopInputs, num_classes: int
) -> NDArray[np.float64]:
    """For each direction the entropy of the classes of its images in bits, [M]."""
    return stats.entropy(_shares(labels, top, num_classes), base=2, axis=1)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two samples of a score: is one higher, and are they the same but for a margin?"""

    first: float  # mean
    second: float
    auc: float  # odds that a draw of the first is higher, ties count half
    auc_interval: tuple[float, float]  # 95 %, bootstrap
    p: float  # two-sided Mann-Whitney test of equal distributions
    difference_interval: tuple[float, float]  # of first - second, 95 %, bootstrap

    def is_no_lower(self, margin: float) -> bool:
        """Whether the first is at most `margin` below the second, beyond doubt."""
        return self.difference_interval[0] > -margin

    def is_equivalent(self, margin: float) -> bool:
        """Whether they differ by less than `margin`, beyond doubt.

        A large p says only that no difference was found.
        """
        low, high = self.difference_interval
        return -margin < low and high < margin


def compare(
    first: NDArray[np.floating], second: NDArray[np.floating], *, seed: int = 0
) -> Comparison:
    """Compares two samples of a score, such as the purity of units and of directions.

    Args:
        first: shape [N], N >= 2.
        second: shape [M], M >= 2.
        seed: of the bootstrap.
    Raises: ValueError: a sample of fewer than two.
    """
    for name, sample in (("first", first), ("second", second)):
        if len(sample) < 2:
            raise ValueError(f"{name} has {len(sample)} values; expected at least two")
    between = functools.partial(
        stats.bootstrap,
        (first, second),
        vectorized=True,
        n_resamples=999,
        method="percentile",
    )
    rng = np.random.default_rng(seed)
    auc = between(_auc, rng=rng).confidence_interval
    difference = between(_difference, rng=rng).confidence_interval
    return Comparison(
        float(np.mean(first)),
        float(np.mean(second)),
        float(_auc(first, second)),
        (float(auc.low), float(auc.high)),
        float(stats.mannwhitneyu(first, second).pvalue),
        (float(difference.low), float(difference.high)),
    )


def _along(found, directions):
    if directions.ndim != 2 or directions.shape[1] != found.shape[1]:
        raise ValueError(
            f"directions.shape={directions.shape}; expected [M, {found.shape[1]}], the "
            "width of the features"
        )
    return found @ directions.T


def _shares(labels, top, num_classes):
    classes = np.asarray(labels)[top.indices]
    return (classes[..., None] == np.arange(num_classes)).mean(axis=1)


def _auc(first, second, axis=-1):
    """The Mann-Whitney statistic as odds, along an axis."""
    ranks = stats.rankdata(np.concatenate([first, second], axis=axis), axis=axis)
    n, m = first.shape[axis], second.shape[axis]
    total = np.take(ranks, np.arange(n), axis=axis).sum(axis=axis)
    return (total - n * (n + 1) / 2) / (n * m)


def _difference(first, second, axis=-1):
    return np.mean(first, axis=axis) - np.mean(second, axis=axis)
