"""How close a module of PyTorch and its function in JAX are, on the same images."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from robust_jax.core import array_checks, flops
from robust_jax.core.closures import values_of_now
from robust_jax.core.compiling import compiled, own_settings
from robust_jax.core.origin import CLOSE, Parity
from robust_jax.interop.torch_original import Original, array_of, reason_of

if TYPE_CHECKING:
    from robust_jax.interop.torch_modules import Apply

_TINY = float(np.finfo(np.float32).tiny)
_IMAGES = 64
_FEWEST = 4  # Images that gradients are compared on.
_AT_ONCE = 2e9  # Operations of a batch: what is in memory at a time.
# Operations of all gradients: in float64 XLA's convolutions do 1e8 a second.
_DOUBLE, _SINGLE = 6e7, 5e10


def chosen(images: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The images to compare on: the first of what is given, else random ones in [0, 1].

    Raises: ValueError: images of another shape or of no floats.
    """
    if images is None:
        draws = np.random.default_rng(0)
        return draws.uniform(size=(_IMAGES, *shape)).astype(np.float32)
    if hasattr(images, "detach"):
        images = array_of(images)
    given = array_checks.batch(images)[:_IMAGES]
    if given.shape[1:] != shape:
        raise ValueError(
            f"images of shape {given.shape[1:]}; expected {shape}, that of the example"
        )
    return given.astype(np.float32)


@own_settings()
def measured(apply: "Apply", original: Original, x: np.ndarray) -> Parity:
    """Compares logits, classes and gradients; names the first part that differs."""
    weights = original.arrays()
    model = values_of_now(Partial(apply, weights), x[0])  # Traced once for all.
    cost = max(flops.nominal(model, x[0]), 1)
    at_once = int(np.clip(_AT_ONCE / cost, 1, len(x)))
    theirs = _of_torch(original, _as_theirs(apply, x), at_once)
    ours = _of_jax(model, x, at_once)
    largest = max(float(np.abs(theirs).max()), _TINY)
    off = float(np.abs(ours - theirs).max()) / largest
    off = off if np.isfinite(off) else float("inf")
    same = int((ours.argmax(axis=1) == theirs.argmax(axis=1)).sum())
    slopes = _gradients(apply, model, original, x, theirs, cost)
    found = Parity(len(x), off, same, slopes)
    if found.is_close:
        return found
    differs = _first_that_differs(apply, original, weights, x[:at_once])
    return dataclasses.replace(found, differs=differs)


def _parts(count: int, at_once: int) -> Iterator[slice]:
    return (slice(i, i + at_once) for i in range(0, count, at_once))


def _as_theirs(apply: "Apply", x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, -1, -3) if apply.is_channels_last else x


def _of_torch(original: Original, x: np.ndarray, at_once: int) -> np.ndarray:
    with original.torch.no_grad():
        answers = [
            original.answer(original.batch(x[p])) for p in _parts(len(x), at_once)
        ]
    return np.concatenate([array_of(a).astype(np.float32) for a in answers])


def _of_jax(model: Partial, x: np.ndarray, at_once: int) -> np.ndarray:
    ask = _programs()[0]
    return np.concatenate([ask(model, x[part]) for part in _parts(len(x), at_once)])


@functools.cache  # Another net of the same structure compiles nothing.
def _programs() -> tuple[Any, Any]:
    """Logits and gradients of a batch."""
    slope = jax.vmap(jax.grad(_margin, 1), (None, 0, 0))
    return compiled(jax.vmap(_called, (None, 0)), brief=True), compiled(
        slope, brief=True
    )


def _called(model: Partial, x: Any) -> Any:
    return model(x)


def _gradients(
    apply: "Apply",
    model: Partial,
    original: Original,
    x: np.ndarray,
    logits: np.ndarray,
    cost: int,
) -> float | None:
    """The largest difference in float64, else the median over images in float32."""
    top = np.argsort(logits, axis=1)[:, -2:].astype(np.int32)
    each = 3 * cost
    if _FEWEST * each <= _DOUBLE:
        some = slice(int(_DOUBLE // each))
        try:
            off = _in_double(apply, original, x[some], top[some])
            return None if off is None else float(off.max())
        except Exception:  # A module that insists on float32, for one.
            pass
    some = slice(int(np.clip(_SINGLE // each, _FEWEST, _IMAGES)))
    try:
        off = _each_gradient(apply, model, original, x[some], top[some])
    except Exception as error:  # Whatever the rules of torchax raise.
        raise ValueError(
            f"module={original.name}: torchax's function of it has no gradient "
            f"({reason_of(error)}); take interop.wrap_torch(module)"
        ) from error
    return None if off is None else float(np.median(off))


def _in_double(
    apply: "Apply", original: Original, x: np.ndarray, top: np.ndarray
) -> np.ndarray | None:
    wide, x = original.in_double(), x.astype(np.float64)
    with jax.enable_x64(True):
        model = values_of_now(Partial(apply, wide.arrays()), x[0])
        return _each_gradient(apply, model, wide, x, top)


def _each_gradient(
    apply: "Apply", model: Partial, original: Original, x: np.ndarray, top: np.ndarray
) -> np.ndarray | None:
    """Of each image, the difference relative to the largest entry of all, [N]."""
    theirs = _slopes_of_torch(original, _as_theirs(apply, x), top)
    if theirs is None:
        return None
    ours = _as_theirs(apply, np.asarray(_programs()[1](model, x, top)))
    away = np.abs(ours - theirs).reshape(len(x), -1).max(axis=1)
    largest = max(float(np.abs(theirs).max()), _TINY)
    return np.where(np.isfinite(away), away, np.inf) / largest


def _margin(model: Partial, x: Any, top: Any) -> Any:
    logits = model(x)
    return logits[top[1]] - logits[top[0]]


def _slopes_of_torch(
    original: Original, x: np.ndarray, top: np.ndarray
) -> np.ndarray | None:
    """The gradients that PyTorch gives; None if the module gives none."""
    torch = original.torch
    with torch.enable_grad():
        batch = original.batch(x).requires_grad_()
        logits = original.answer(batch)
        if not logits.requires_grad:
            return None
        each = torch.arange(len(x))
        margins = logits[each, top[:, 1]] - logits[each, top[:, 0]]
        (slope,) = torch.autograd.grad(margins.sum(), batch)
    return array_of(slope)


def _first_that_differs(
    apply: "Apply", original: Original, weights: Any, x: np.ndarray
) -> str:
    """The first part of the module, as they end, whose output is another one."""
    with original.torch.no_grad(), _outputs(original) as theirs:
        original.answer(original.batch(_as_theirs(apply, x)))
    names: list[str] = []

    def listed(weights: Any, x: Any) -> Any:
        with _outputs(original) as found:
            apply.batch(weights, x)
        names.extend(name for name, _ in found)
        return [value for _, value in found]

    arrays = {name: jnp.asarray(value) for name, value in weights.items()}
    ours = jax.vmap(listed, (None, 0))(arrays, x)
    for name, one, (their_name, two) in zip(names, ours, theirs, strict=False):
        a, b = np.asarray(one), array_of(two)
        if name != their_name:
            return name
        # Other parts keep examples apart in another way.
        if a.shape == (len(x), 1, *b.shape[1:]) and not _is_close(a[:, 0], b):
            return name
    return "its answer"


def _is_close(a: np.ndarray, b: np.ndarray) -> bool:
    scale = max(float(np.abs(b).max()), _TINY)
    return bool(np.abs(a - b).max() <= CLOSE * scale)


@contextlib.contextmanager
def _outputs(original: Original) -> Iterator[list[tuple[str, Any]]]:
    """Name and output of each part that runs meanwhile, with floats alone."""
    found: list[tuple[str, Any]] = []

    def keep(name: str) -> Any:
        def hook(part: Any, given: Any, output: Any) -> None:
            value = output[0] if isinstance(output, tuple) and output else output
            if not isinstance(value, original.torch.Tensor):
                return
            if value.is_floating_point():  # Later parts may write to it.
                kept = value.jax() if hasattr(value, "jax") else value.clone()
                found.append((name or "its answer", kept))

        return hook

    parts = original.empty.named_modules()
    handles = [part.register_forward_hook(keep(name)) for name, part in parts]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
