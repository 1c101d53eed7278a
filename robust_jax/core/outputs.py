"""A model that is no function of images, or gives no logits: refused in a sentence.

It is traced on shapes alone, and not run.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.core import array_checks

_SAID = 200  # Characters of what a foreign net said.
# What to do about a net that takes something else, by what it takes.
_ADVICE = {
    "batch": "wrap it by interop.per_example(model)",
    "example and key": "bind one, as in jax.tree_util.Partial(model, key=key)",
}
# What Flax and Haiku raise of a net in training mode, without key or statistics.
_OF_TRAINING = ("ModifyScopeVariableError", "InvalidRngError", "MissingRNGError")
_EVALUATE = "pass what turns that off, such as from_linen(..., train=False)"
_SAY = {takes: f"say takes={takes!r}" for takes in _ADVICE}


def check_callable(name: str, model: Any) -> None:
    """Raises TypeError for what is no function of images alone."""
    kind = type(model)
    if isinstance(model, type):
        raise TypeError(
            f"{name}={model.__name__}, a class; expected a function of images, such as "
            "a module of it with its weights"
        )
    if is_module(kind, "flax.nnx"):
        raise TypeError(
            f"{name}={kind.__name__}(...), a module of Flax NNX; expected a function "
            "of images; pass interop.from_nnx(...)"
        )
    if is_module(kind, "flax.linen"):
        raise TypeError(
            f"{name}={kind.__name__}(...), a module of Flax Linen without its weights; "
            "pass interop.from_linen(..., variables), or bind them to it"
        )
    if not callable(model):
        raise TypeError(
            f"{name} of type {kind.__name__}; expected a function of images"
        )


def check(model: Callable[..., Any], *given: Any, takes: str | None = None) -> None:
    """Raises ValueError unless a net gives real logits.

    Args:
        model: of what is given.
        given: arrays or pytrees of such, of which shapes and types count.
        takes: what the user says that it takes, as `evaluate.robustness` has it; None
            for an example where nothing else can be said.
    """
    try:
        out = shapes(model, *given)
    except Exception as error:  # Whatever a foreign net raises.
        said, of = _remedy(model, given, takes, error), _described(given[0])
        raise ValueError(f"{_who(takes)} fails on {of}: {said}") from error
    check_logits(out, given[0], takes=takes)


def check_logits(out: Any, of: Any, *, takes: str | None = None) -> None:
    """Raises ValueError unless shape and type of what a net gave are those of logits.

    Args:
        out: what `shapes` gave.
        of: what was given; see `check`.
        takes: see `check`.
    """
    batch = np.shape(of)[:1] if takes == "batch" else ()
    wanted = "[B, K]" if batch else "[K]"
    if not hasattr(out, "shape"):
        raise ValueError(
            f"the model gave a {type(out).__name__} in place of one array; expected "
            f"{wanted} logits alone; wrap it, as in lambda x: model(x)[0]"
        )
    if out.shape[:-1] != batch or len(out.shape) != len(batch) + 1:
        raise ValueError(
            f"{_who(takes)} gave outputs of shape {out.shape}; expected {wanted} "
            f"logits{_instead(out.shape[len(batch) :], takes)}"
        )
    array_checks.class_count(out.shape[len(batch) :])
    if not jnp.issubdtype(out.dtype, jnp.floating):
        raise ValueError(
            f"the model gave {out.dtype} outputs; expected real logits, in floats; "
            "return what decides, such as the real part or scores"
        )


def gives_logits(model: Callable[..., Any], x: Any) -> bool:
    """Whether a net, asked for shapes alone, gives [B, K] of a batch."""
    with contextlib.suppress(Exception):  # Whatever a foreign net raises.
        batch = jax.tree.leaves(x)[0].shape[:1]
        shape = shapes(model, x).shape
        return len(shape) == 2 and shape[:1] == batch
    return False


def shapes(function: Callable[..., Any], *args: Any) -> Any:
    """Shapes and types of what a function gives; it is traced anew."""
    return jax.eval_shape(lambda *args: function(*args), *args)  # Not from memory.


def is_module(kind: type, package: str) -> bool:
    """Whether it is a class of modules of a package, which need not be there."""
    return any(
        base.__name__ == "Module" and base.__module__.startswith(package)
        for base in kind.__mro__
    )


def _who(takes: str | None) -> str:
    return "the model" if takes is None else f"takes={takes!r}, and the model"


def _described(given: Any) -> str:
    leaves = jax.tree.leaves(given)
    shown = [f"{jnp.result_type(a)} input of shape {np.shape(a)}" for a in leaves]
    return f"a {shown[0]}" if len(shown) == 1 else f"inputs: {', '.join(shown)}"


def _remedy(
    model: Callable[..., Any], given: Any, takes: str | None, error: Exception
) -> str:
    """Why a net could not be traced, and what to do about it, in one line."""
    if isinstance(error, jax.errors.TracerArrayConversionError):
        return (
            "it calls NumPy or another library than JAX; wrap it by "
            "interop.from_host(model, num_classes), whose function takes a batch"
        )
    if takes in (None, "example"):
        advice = _ADVICE if takes is None else _SAY
        two = jax.tree.map(
            lambda a: jax.ShapeDtypeStruct((2, *a.shape), a.dtype), given[0]
        )
        if gives_logits(model, two):
            return f"it needs a batch axis; {advice['batch']}"
        with contextlib.suppress(Exception):
            shapes(model, *given, jax.random.key(0))
            return f"it takes a key, too; {advice['example and key']}"
    said, kind = " ".join(str(error).split()), type(error).__name__
    shown = f"{kind}: {said[:_SAID]}{'...' * (len(said) > _SAID)}"
    if kind in _OF_TRAINING or "Dropout" in said:
        return f"it draws or keeps statistics, as in training; {_EVALUATE} ({shown})"
    if kind == "ScopeCollectionNotFound":
        return f"pass all its variables, batch statistics too ({shown})"
    return shown


def _instead(shape: tuple[int, ...], takes: str | None) -> str:
    """What to do about outputs of another shape, of one example."""
    if not shape:
        return "; of two classes with one logit z return [-z/2, z/2]"
    if len(shape) == 2 and takes != "batch":
        needs = "for a net that insists on a batch axis"
        return f"; {(_ADVICE if takes is None else _SAY)['batch']} {needs}"
    return ""
