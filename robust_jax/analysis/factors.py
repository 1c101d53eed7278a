"""Are the factors of variation of images found in single units of a layer? (host)"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from robust_jax.analysis import moves
from robust_jax.core import extras
from robust_jax.core.brief import brief, brief_html

Images = NDArray[np.floating]  # [N, H, W, C]
Values = NDArray[np.floating]

_STRENGTHS = np.logspace(-4, 2, 13)  # Over the features' variance.


class Varied(NamedTuple):
    """Images that were changed by a known amount each."""

    images: Images
    amount: Values  # [N]

    def __repr__(self) -> str:
        return brief(self)

    def _repr_html_(self) -> str:
        return brief_html(self)


def shifted(images: Images, most: float, rng: np.random.Generator) -> Varied:
    """Images shifted sideways by uniformly random amounts of at most `most` pixels."""
    return _varied(images, most, rng, _shift)


def rotated(images: Images, most: float, rng: np.random.Generator) -> Varied:
    """Images turned by uniformly random angles of at most `most` degrees."""
    return _varied(images, most, rng, _turn)


def thickened(images: Images, most: float, rng: np.random.Generator) -> Varied:
    """Images whose bright strokes are widened or thinned by at most `most` pixels.

    By the largest or least value nearby, between whole pixels a mixture.
    """
    return _varied(images, most, rng, _thicken)


def explained(features: Values, values: Values) -> NDArray[np.float64]:
    """The share of a factor's variance that each feature explains alone, linearly.

    Args:
        features: shape [N, D].
        values: of the factor, shape [N] or, as one-hot classes, [N, M].
    Returns: R^2 in [0, 1], shape [D]; 0 of a feature that is constant.
    """
    x, y = _centred(features), _centred(values)
    power = (x**2).sum(axis=0)
    along = ((x.T @ y) ** 2).sum(axis=1)
    return along / np.maximum(power * (y**2).sum(), np.finfo(float).tiny)


def explained_by_all(features: Values, values: Values) -> float:
    """The share that a linear function of all features explains of unseen images.

    Ridge regression on the first half, whose strength is chosen by leaving one out; R^2
    on the second half, the mean over the factor's columns.
    Edge cases: 0 of features that are all constant.

    Args:
        features: shape [N, D], N >= 4, in random order.
        values: shape [N] or [N, M].
    """
    if len(features) < 4:
        raise ValueError(f"{len(features)} images; expected at least 4, for two halves")
    half = len(features) // 2
    x, y = np.asarray(features, np.float64), np.asarray(values, np.float64)
    variance = x[:half].var(axis=0).sum()
    if variance == 0:
        return 0.0
    linear = extras.needed("sklearn.linear_model", "data", "analysis.explained")
    model = linear.RidgeCV(_STRENGTHS * variance)
    return float(model.fit(x[:half], y[:half]).score(x[half:], y[half:]))


def _varied(
    images: Images,
    most: float,
    rng: np.random.Generator,
    change: Callable[[Images, float], Images],
) -> Varied:
    amount = rng.uniform(-most, most, len(images))
    made = [change(x, a) for x, a in zip(images, amount, strict=True)]
    return Varied(np.stack(made).clip(0, 1).astype(np.float32), amount)


def _shift(image: Images, amount: float) -> Images:
    return moves.translate(image[None], 0, amount)[0]


def _turn(image: Images, degrees: float) -> Images:
    return moves.rotate(image[None], degrees)[0]


def _thicken(image: Images, amount: float) -> Images:
    change = ndimage.grey_dilation if amount > 0 else ndimage.grey_erosion
    whole, part = divmod(abs(amount), 1)
    less, more = (
        change(image, (size, size, 1))
        for size in (2 * int(whole) + 1, 2 * int(whole) + 3)
    )
    return (1 - part) * less + part * more


def _centred(values: Values) -> NDArray[np.float64]:
    values = np.asarray(values, np.float64)
    values = values.reshape(len(values), -1)
    return values - values.mean(axis=0)
