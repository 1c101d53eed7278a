"""Nets that want their images in another range: the way there goes inside the net."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.tree_util import Partial

from robust_jax.core import checks, origin, outputs
from robust_jax.core.closures import as_partial
from robust_jax.core.origin import Origin
from robust_jax.core.types import Array
from robust_jax.interop.modules import as_function

Numbers = float | Sequence[float]
_UNIT = (0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Normalisation:
    """What pixels in [0, 1] become before a net sees them; equal if the same is done.

    Args:
        input_range: what 0 and 1 become, first.
        mean: subtracted then; one number, or one per channel.
        std: divided by at last; the same.
    """

    input_range: tuple[float, float] = _UNIT
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @property
    def is_nothing(self) -> bool:
        """Whether pixels stay as they are."""
        return self == Normalisation()

    def __call__(self, x: Any, axis: int = -1) -> Any:
        """The pixels as the net takes them, shape and type kept.

        Args:
            axis: of the channels, from the last one.
        Raises: ValueError: another number of channels.
        """
        low, high = self.input_range
        count = max(len(self.mean), len(self.std))
        if count > 1 and (x.ndim < -axis or x.shape[axis] != count):
            raise ValueError(
                f"mean and std have {count} numbers, but images of shape {x.shape} "
                f"have not so many channels (axis {axis}); give one per channel"
            )
        if (low, high) != _UNIT:
            x = x * np.asarray(high - low, x.dtype) + np.asarray(low, x.dtype)
        if self.mean != (0.0,):
            x = x - _along(self.mean, axis, x.dtype)
        return x if self.std == (1.0,) else x / _along(self.std, axis, x.dtype)


@dataclasses.dataclass(frozen=True)
class _Normalised:
    """A model behind its normalisation; equal if the same is done."""

    origin: Origin | None
    before: Normalisation
    axis: int

    def __call__(self, model: Partial, x: Array, *given: Any) -> Array:
        return model(self.before(x, self.axis), *given)


def normalised(
    model: Callable[..., Any],
    *,
    input_range: tuple[float, float] = _UNIT,
    mean: Numbers | None = None,
    std: Numbers | None = None,
) -> Partial:
    """A model of images in another range, as a model of images in [0, 1].

    It sees `((high - low) x + low - mean) / std`; radii, boxes and images stay those of
    [0, 1]. Means and deviations are in the units of `input_range`, along the channels,
    the first axis of an image where the model says so (`channels_first`), else the
    last.
    Guarantees: weights stay data; nothing is computed where nothing changes.

    Args:
        model: of one example or of a batch.
        input_range: what black and white are to the model.
        mean: one number, or one per channel.
        std: the same, above 0.
    Raises: TypeError: what is no function. ValueError: numbers out of range.

    >>> shifted = rj.interop.normalised(lambda x: x, input_range=(-1, 1))
    >>> shifted(jnp.array([0.0, 0.5, 1.0]))
    Array([-1., 0., 1.], dtype=float32)
    """
    model = as_function(model)
    outputs.check_callable("model", model)
    before, said = normalisation(input_range, mean, std), origin.of(model)
    if before.is_nothing:
        return as_partial(model)
    axis = -3 if said is not None and said.layout == "CHW" else -1
    return Partial(_Normalised(said, before, axis), as_partial(model))


def normalisation(
    input_range: Any = _UNIT, mean: Any = None, std: Any = None
) -> Normalisation:
    """The normalisation of checked numbers.

    Raises: ValueError: a range of no two numbers, the lower one first; means and
        deviations that are not finite, or not above 0, or differ in number.
    """
    span = checks.interval("input_range", input_range)
    means = _numbers("mean", mean, 0.0, "finite numbers", math.isfinite)
    stds = _numbers(
        "std", std, 1.0, "finite numbers > 0", lambda v: math.isfinite(v) and v > 0
    )
    if len(means) != len(stds) and 1 not in (len(means), len(stds)):
        raise ValueError(
            f"mean has {len(means)} numbers and std {len(stds)}; expected one, or one "
            "per channel, of each"
        )
    return Normalisation(span, means, stds)


def _numbers(
    name: str, value: Any, default: float, wanted: str, fits: Callable[[float], bool]
) -> tuple[float, ...]:
    value = default if value is None else value
    many = (value,) if checks.is_number(value) else value
    try:
        found = tuple(float(number) for number in many)
    except (TypeError, ValueError):
        found = ()
    if not found or isinstance(value, str) or not all(map(fits, found)):
        raise ValueError(
            f"{name}={checks.shown(value)}; expected {wanted}, one or one per channel"
        )
    return found


def _along(values: tuple[float, ...], axis: int, dtype: Any) -> Any:
    return np.asarray(values, dtype).reshape((-1, *(1,) * (-axis - 1)))
