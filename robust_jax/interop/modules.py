"""Modules of other libraries as functions, whichever they are of."""

from typing import Any

from robust_jax.core import outputs
from robust_jax.interop.equinox import from_equinox
from robust_jax.interop.linen import from_linen
from robust_jax.interop.nnx import from_nnx


def as_function(model: Any) -> Any:
    """A module with its variables as a function in inference mode; others as they are.

    A module of Linen has to be bound to its variables. No library is imported for it.
    Raises: TypeError: a module of PyTorch, which needs an example of its input.
    """
    kind = type(model)
    if outputs.is_module(kind, "flax.nnx"):
        return from_nnx(model)
    if outputs.is_module(kind, "flax.linen") and model.scope is not None:
        return from_linen(*model.unbind())
    if outputs.is_module(kind, "equinox"):
        return from_equinox(model)
    if outputs.is_module(kind, "torch"):
        raise TypeError(
            f"model is a {kind.__name__}, a module of PyTorch; pass "
            "interop.from_torch(model, x[0]), or interop.wrap_torch(model)"
        )
    return model
