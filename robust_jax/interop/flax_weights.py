"""Weights of a file in a module of Linen or NNX."""

import inspect
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn, nnx, serialization, traverse_util
from jax.tree_util import Partial

from robust_jax.core import checks
from robust_jax.interop import loaders
from robust_jax.interop.linen import from_linen
from robust_jax.interop.nnx import from_nnx
from robust_jax.interop.torch_files import fitted, read_state_dict
from robust_jax.models.user_nets import INFERENCE


def with_weights(source: str, module: Any, given: loaders.Given) -> Partial:
    """A module in inference mode, with the weights of a file if one is given.

    Names in a file are those of the module, "Dense_0/kernel" or "Dense_0.kernel", of
    Linen with or without their collection ("params").
    Raises: TypeError: no module. ValueError: weights of other names or shapes, a Linen
        module without any.
    """
    if isinstance(module, nnx.Module):
        return from_nnx(module if given.weights is None else _nnx(module, given))
    checks.instance(f"model={source}", module, nn.Module, "a module of Linen or NNX")
    if module.scope is not None:  # Bound to its variables.
        module, variables = module.unbind()
    elif given.weights is None:
        raise ValueError(f"model={source} has no weights; pass weights=FILE")
    else:
        variables = None
    options = _inference(module)
    if given.weights is not None:
        variables = _linen(source, module, given, options)
    return from_linen(module, variables, **options)


def _inference(module: nn.Module) -> dict[str, Any]:
    known = inspect.signature(type(module).__call__).parameters
    return {name: value for name, value in INFERENCE.items() if name in known}


def _linen(
    source: str, module: nn.Module, given: loaders.Given, options: dict[str, Any]
) -> Any:
    x, key = given.one(source), jax.eval_shape(lambda: jax.random.key(0))
    init = lambda key, x: module.init(key, x, **options)  # noqa: E731
    try:
        fresh = jax.eval_shape(init, key, x)
    except Exception as error:  # Whatever Flax and the module raise.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"model={source} cannot be built for images of shape {x.shape} "
            f"({reason:.200}); check their shape and layout"
        ) from error
    flat = traverse_util.flatten_dict(fresh, sep=".")
    found = _placed(given.weights, flat)
    return traverse_util.unflatten_dict(found, sep=".")


def _nnx(module: nnx.Module, given: loaders.Given) -> nnx.Module:
    flat = dict(nnx.to_flat_state(nnx.state(module)))
    named = {
        ".".join(map(str, path)): leaf
        for path, leaf in flat.items()
        if not isinstance(leaf, nnx.RngState)
    }
    found = _placed(given.weights, {k: leaf[...] for k, leaf in named.items()})
    for name, leaf in named.items():
        leaf[...] = found[name]
    nnx.update(module, nnx.from_flat_state(flat))
    return module


def _placed(path: Any, expected: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The arrays of a file under the names of the module, in its types.

    Raises: ValueError: other names or shapes; the first that differs is named.
    """
    state = {name.replace("/", "."): array for name, array in _read(path).items()}
    try:
        found = fitted(state, expected)
    except ValueError as error:
        raise ValueError(f"weights={path}; {error}") from error
    for name, array in found.items():
        if array.shape != expected[name].shape:
            raise ValueError(
                f"weights={path}; {name} has shape {array.shape}, the module expects "
                f"{expected[name].shape}; use the weights of this very net"
            )
    return {name: jnp.asarray(a, expected[name].dtype) for name, a in found.items()}


def _read(path: Any) -> Mapping[str, np.ndarray]:
    checks.path("weights", path)
    path = pathlib.Path(path)
    if path.suffix != ".msgpack":
        return read_state_dict(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights={path}: no such file")
    try:
        tree = serialization.msgpack_restore(path.read_bytes())
        flat = traverse_util.flatten_dict(tree, sep=".")
        return {name: np.asarray(array) for name, array in flat.items()}
    except Exception as error:  # Of msgpack and Flax.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"weights={path} cannot be read ({reason:.150}); expected a file of "
            "flax.serialization.to_bytes; write or copy it again"
        ) from error
