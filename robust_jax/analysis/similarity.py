"""Do two layers say the same, whatever their axes? Centred kernel alignment (host)."""

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]  # [N, D], of the same N images


def cka(first: Features, second: Features, *, debiased: bool = False) -> float:
    """Linear centred kernel alignment of two layers' features, 1 for the same.

    |Y^T X|^2 / (|X^T X| |Y^T Y|) in Frobenius norms, of features less their means.
    Guarantees: the same for rotated, shifted and scaled features; in [0, 1], unless
    debiased.
    Edge cases: 0 where a layer is constant.

    Args:
        first: shape [N, D].
        second: shape [N, E].
        debiased: estimate without the bias of few images and many features, by
            Gram matrices [N, N]; may be below 0.
    Raises: ValueError: other numbers of images; fewer than 2, debiased than 4.
    References: Kornblith et al., "Similarity of neural network representations
        revisited", ICML 2019; the unbiased estimator: Song et al., JMLR 2012, Eq. 5.
    """
    least = 4 if debiased else 2
    if len(first) != len(second) or len(first) < least:
        raise ValueError(
            f"{len(first)} and {len(second)} images; expected the same ones, at least "
            f"{least}"
        )
    x, y = (np.asarray(f, np.float64).reshape(len(f), -1) for f in (first, second))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    inner = _unbiased if debiased else _biased
    size = inner(x, x) * inner(y, y)
    return float(inner(x, y) / np.sqrt(size)) if size > 0 else 0.0


def _biased(x: Features, y: Features) -> float:
    if x.shape[1] * y.shape[1] > len(x) ** 2:
        return float(np.sum((x @ x.T) * (y @ y.T)))
    return float(np.sum((x.T @ y) ** 2))


def _unbiased(x: Features, y: Features) -> float:
    """HSIC's estimator of Gram matrices without their diagonals, times n (n - 3)."""
    n = len(x)
    k, m = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    sums = k.sum() * m.sum() / ((n - 1) * (n - 2))
    cross = 2 * (k.sum(axis=0) @ m.sum(axis=0)) / (n - 2)
    return float(np.sum(k * m) + sums - cross)
