"""Where an image has its channels: images are channels last inside.

Attacks and threats know [H, W, C] alone. A model says its layout (`core.origin`), and
whoever takes it with images turns them at the door, and the results back.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from robust_jax.core import faces, origin
from robust_jax.core.closures import as_partial
from robust_jax.core.origin import Origin
from robust_jax.core.types import Array, AttackResult, ParametricThreat, Threat

_RANK = 3  # [H, W, C], or with frames before it.
_FEW, _SIDE = (1, 3), 8  # Numbers of channels, and the least side of an image.

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class _Declared:
    """A model of which something is said; equal if the same is said."""

    origin: Origin

    def __call__(self, model: Partial, *given: Any, **named: Any) -> Any:
        return model(*given, **named)


@dataclasses.dataclass(frozen=True)
class _Turned:
    """A model that gets its images with the axis of channels moved."""

    origin: Origin
    source: int
    to: int

    def __call__(self, model: Partial, x: Any, *given: Any, **named: Any) -> Any:
        return model(jnp.moveaxis(x, self.source, self.to), *given, **named)


def declared(model: Callable[..., Any], said: Origin) -> Partial:
    """A model of which something is said; its weights stay data."""
    return Partial(_Declared(said), as_partial(model))


def is_first(said: Origin | None) -> bool:
    """Whether a model takes channels-first images."""
    return said is not None and said.layout == "CHW"


def with_last(model: Callable[..., Any]) -> Partial:
    """A channels-first model, of one example or of a batch, on channels-last images."""
    said = origin.of(model)
    now = dataclasses.replace(said or Origin("a function"), layout="HWC")
    return Partial(_Turned(now, -1, -_RANK), as_partial(model))


def with_first(model: Callable[..., Any]) -> Partial:
    """A channels-last model on channels-first images; see `with_last`."""
    said = origin.of(model)
    now = dataclasses.replace(said or Origin("a function"), layout="CHW")
    return Partial(_Turned(now, -_RANK, -1), as_partial(model))


def to_last(x: _T, lead: int = 1) -> _T:
    """Images [..., C, H, W] as [..., H, W, C]; what is no image stays as it is.

    Args:
        lead: axes before those of an example.
    """
    return _moved(x, lead, -_RANK, -1)


def to_first(x: _T, lead: int = 1) -> _T:
    """Images [..., H, W, C] as [..., C, H, W]; what is no image stays as it is."""
    return _moved(x, lead, -1, -_RANK)


def _moved(x: Any, lead: int, source: int, to: int) -> Any:
    if not is_image(x, lead):
        return x
    if isinstance(x, np.ndarray):
        return np.ascontiguousarray(np.moveaxis(x, source, to))
    return jnp.moveaxis(x, source, to)


def is_image(x: Any, lead: int = 1) -> bool:
    """Whether an array has examples of rank three or more."""
    is_array = isinstance(x, np.ndarray | jax.Array)
    return is_array and x.ndim >= _RANK + lead


def threat_to_last(threat: Threat, x: Any, lead: int = 1) -> Threat:
    """A threat on channels-first images as one on channels-last ones.

    Args:
        threat: fields that are numbers, broadcast to an example, or are per example.
        x: the images that it is for, [..., C, H, W].
        lead: see `to_last`.
    """
    if isinstance(threat, ParametricThreat) or not is_image(x, lead):
        return threat

    def turned(field: Any) -> Any:
        rank = np.ndim(field)
        if rank == 0:
            return field
        array = field if isinstance(field, jax.Array) else np.asarray(field)
        whole = array.reshape((1,) * (_RANK - rank) + array.shape)
        return to_last(whole, 0)

    return threat.replace(**{n: turned(v) for n, v in faces.given(threat).items()})


def turning(run: Callable[..., Any], lead: int = 1) -> Callable[..., Any]:
    """A run of channels-last images, which takes those of the model's own layout.

    Args:
        run: `(key, logits_fn, threat, x, goal, ...)` to an `AttackResult`, or to an
            array of images; further arguments are arrays like x, or None.
        lead: axes of x before those of an example.
    """

    @functools.wraps(run)
    def run_in_layout(key, logits_fn, threat, x, goal, *more, **named):
        if not (is_first(origin.of(logits_fn)) and is_image(x, lead)):
            return run(key, logits_fn, threat, x, goal, *more, **named)
        threat = threat_to_last(threat, x, lead)
        x, others = to_last(x, lead), [to_last(array, lead) for array in more]
        named = {name: to_last(array, lead) for name, array in named.items()}
        found = run(key, with_last(logits_fn), threat, x, goal, *others, **named)
        if isinstance(found, AttackResult):
            return found._replace(x_adv=to_first(found.x_adv, lead))
        is_of_images = is_image(found, lead) and np.shape(found) == np.shape(x)
        return to_first(found, lead) if is_of_images else found

    return run_in_layout


def check_shape(said: Origin | None, shape: tuple[int, ...]) -> None:
    """Raises ValueError for images that look as if they were of another layout.

    Args:
        said: of the model, if anything is.
        shape: of the images, [N, *S].
    """
    if len(shape) != _RANK + 1 or (said is not None and said.layout == "HWC"):
        return
    seems_first, seems_last = _is_image(*shape[1:]), _is_image(*shape[:0:-1])
    if is_first(said) and seems_last and not seems_first:
        raise ValueError(
            f"images.shape={shape}, and the model takes channels-first images "
            "[N, C, H, W]; transpose them, or pass interop.channels_last(model), which "
            "takes [N, H, W, C]"
        )
    if not is_first(said) and seems_first and not seems_last:
        raise ValueError(
            f"images.shape={shape} look channels first, and the model does not say so; "
            "pass interop.channels_first(model), or interop.channels_last(model) if "
            f"their height is {shape[1]}"
        )


def _is_image(channels: int, height: int, width: int) -> bool:
    return channels in _FEW and height >= _SIDE and width >= _SIDE


def refuse_first(logits_fn: Any, x: Array) -> None:
    """Raises ValueError for a channels-first model where nothing can turn back."""
    if is_first(origin.of(logits_fn)) and is_image(x):
        raise ValueError(
            "logits_fn takes channels-first images, and what many examples share is "
            "placed on channels-last ones; pass interop.channels_last(logits_fn), and "
            "x [N, H, W, C]"
        )
