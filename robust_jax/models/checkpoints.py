"""Nets on disk: one file that says which net it is and proves that it is whole (host).

The file is in the safetensors format (see `weights_file`), so that other tools read the
weights and nothing is ever executed. The header's `__metadata__` holds the net's name,
its configuration, the shape of one example, what the caller wants to remember, and a
SHA-256 of header and arrays.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax.tree_util import Partial

from robust_jax.core import checks
from robust_jax.core.origin import Origin
from robust_jax.core.records import PathLike, plain
from robust_jax.models import catalog, functional, networks, weights_file


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A net as it comes back from disk.

    Args:
        module: the untrained module, equal to the one that was saved.
        variables: its weights, a tree of arrays.
        input_shape: the shape *S of one example.
        metadata: what the caller of `save` wanted to remember.
        origin: what `logits_fn` says of itself, of weights from elsewhere.
    """

    module: nn.Module
    variables: functional.Variables
    input_shape: tuple[int, ...]
    metadata: dict[str, Any]
    origin: Origin | None = None

    @property
    def logits_fn(self) -> Partial:
        """Examples [*B, *S] to logits [*B, K]; new weights do not recompile."""
        functional.logits_fn(self.module, self.variables)  # Refuses what has no hash.
        return Partial(
            functional.Apply(self.module, origin=self.origin), self.variables
        )


def save(
    path: PathLike,
    module: networks.Classifier,
    variables: functional.Variables,
    *,
    input_shape: tuple[int, ...],
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Writes a net of `models.by_name` with its weights, whole or not at all.

    Guarantees: `load` gives an equal module and bit-equal weights (without 64-bit
    numbers, float64 ones in float32 if they are equal); the bytes depend on the
    arguments only; an existing file stays as it was on any failure.

    Args:
        path: the file, by custom named `*.safetensors`, in an existing directory.
        module: the net.
        variables: its weights.
        input_shape: the shape *S of one example, such as (28, 28, 1).
        metadata: JSON data to remember, such as the recipe and the accuracy; NumPy
            values and non-finite numbers are written as in records.
    Raises: ValueError: a module that has no name, weights that do not fit it, metadata
        that JSON cannot hold. FileNotFoundError: no such directory.
    """
    checks.path("path", path)
    path, name = pathlib.Path(path), _name(module)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path={path}; expected an existing directory; make it")
    checks.instance("variables", variables, Mapping, "a tree of arrays in dicts")
    checks.instance("input_shape", input_shape, tuple | list, "a tuple of sizes")
    for size in input_shape:
        checks.positive_integer("a size of input_shape", size)
    if metadata is not None:
        checks.instance("metadata", metadata, Mapping, "a dict of JSON data")
    arrays = _arrays(variables)
    _check_fit(f"module={checks.shown(module)}", module, tuple(input_shape), arrays)
    described = {
        "model": name,
        "config": _json(_config(module)),
        "input_shape": _json(input_shape),
        "metadata": _json(dict(metadata or {})),
    }
    weights_file.write(path, weights_file.Content(described, arrays))


def load(path: PathLike) -> Checkpoint:
    """Reads a net that `save` wrote.

    Guarantees: every byte was checked; nothing in the file is executed; no weight is
    another number, whatever its width.

    Args:
        path: the file.
    Raises: FileNotFoundError: no such file. ValueError: a file that is not such a
        checkpoint, is cut short, damaged or of a later version, or whose weights do not
        fit the net it names.
    """
    checks.path("path", path)
    path = pathlib.Path(path)
    try:
        described, arrays = weights_file.read(path)
    except OSError as error:
        raise FileNotFoundError(
            f"path={path}; expected a checkpoint ({error.strerror}); check the "
            "name, or train a net first"
        ) from error
    module, input_shape, metadata = _said(path, described)
    _check_fit(f"path={path}", module, input_shape, arrays)
    variables = traverse_util.unflatten_dict(
        {name: _on_device(path, name, array) for name, array in arrays.items()},
        sep="/",
    )
    return Checkpoint(module, variables, input_shape, metadata)


def _said(
    path: pathlib.Path, described: Mapping[str, str]
) -> tuple[nn.Module, tuple[int, ...], dict[str, Any]]:
    """Module, input shape and metadata, as the texts of a file say.

    Raises: ValueError: texts that say something else, or of no net of this library.
    """
    said = {}
    for name, kind in (("config", dict), ("input_shape", list), ("metadata", dict)):
        try:
            said[name] = json.loads(described[name])
        except (KeyError, ValueError, RecursionError):
            said[name] = None
        if not isinstance(said[name], kind):
            raise ValueError(
                f"path={path}; the checkpoint's {name} is "
                f"{described.get(name)!r:.60}; expected a JSON {kind.__name__}; "
                "write the file again by models.save"
            )
    shape = said["input_shape"]
    if not all(type(size) is int and size > 0 for size in shape):
        raise ValueError(
            f"path={path}; the checkpoint's input_shape is {shape!r:.60}; expected "
            "sizes >= 1; write the file again by models.save"
        )
    try:
        module = catalog.by_name(described.get("model", ""), **said["config"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"path={path}; {error}") from error
    return module, tuple(shape), said["metadata"]


def _check_fit(
    source: str,
    module: nn.Module,
    input_shape: tuple[int, ...],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Raises ValueError unless the arrays are such as the module would start from.

    Floats of another width are kept as they are; what is no float in the place of
    floats, or the other way round, is of another net.
    """
    fresh = functional.expected_variables(source, module, input_shape)
    fresh = traverse_util.flatten_dict(fresh, sep="/")
    expected, found = (
        {k: v.shape for k, v in some.items()} for some in (fresh, arrays)
    )
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ValueError(
                f"{source}; the weights {name} have shape {found.get(name)}, but "
                f"{type(module).__name__} on inputs {input_shape} expects "
                f"{expected.get(name)}; use the weights of this very net"
            )
    for name, array in arrays.items():
        if _kind(array.dtype) != _kind(fresh[name].dtype):
            raise ValueError(
                f"{source}; the weights {name} are {array.dtype}, but "
                f"{type(module).__name__} expects {fresh[name].dtype}; use the weights "
                "of this very net"
            )


def _kind(dtype: np.dtype) -> str:
    return "f" if checks.is_floating(dtype) else dtype.kind


def _arrays(variables: functional.Variables) -> dict[str, np.ndarray]:
    flat = traverse_util.flatten_dict(variables, sep="/")
    arrays = {name: np.asarray(flat[name]) for name in sorted(flat)}
    return {
        name: array.astype(array.dtype.newbyteorder("<"), order="C")
        for name, array in arrays.items()
    }


def _on_device(path: pathlib.Path, name: str, array: np.ndarray) -> jax.Array:
    placed = jnp.asarray(array)
    is_rounded = placed.dtype != array.dtype
    if is_rounded and not np.array_equal(placed, array, equal_nan=True):
        raise ValueError(
            f"path={path}; the weights {name} are {array.dtype}, which JAX would "
            "round; set jax_enable_x64"
        )
    return placed


def _name(module: nn.Module) -> str:
    for name, network in catalog.NETWORKS.items():
        if type(module) is network:
            return name
    raise ValueError(
        f"module={type(module).__name__}; expected a net of models.by_name "
        f"({', '.join(catalog.names())}); save the weights of others by your own means"
    )


def _config(module: nn.Module) -> dict[str, Any]:
    later = catalog.LATER.get(_name(module), ())
    return {
        field.name: getattr(module, field.name)
        for field in dataclasses.fields(module)
        if field.name not in ("parent", "name")
        and not (field.name in later and getattr(module, field.name) == field.default)
    }


def _json(value: Any) -> str:
    return json.dumps(plain(value), allow_nan=False)
