"""Nets on disk: one file that says which net it is and proves that it is whole (host).

The file is in the safetensors format (8 bytes with the length of a JSON header, the
header, raw little-endian arrays), so that other tools read the weights and nothing is
ever executed. The header's `__metadata__` holds the net's name, its configuration, the
shape of one example, what the caller wants to remember, and a SHA-256 of header and
arrays.
"""

import dataclasses
import hashlib
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
from robust_jax.core.records import PathLike, atomic_path, plain
from robust_jax.models import catalog, functional, networks

_FORMAT = "robust_jax checkpoint"
_VERSION = "1"
# Our header starts like this, so that a file cut inside it is known as ours.
_START = b'{"__metadata__":{"format":"' + _FORMAT.encode()
_BLANK = "0" * 64
_DTYPES = {  # safetensors' names
    "BF16": jnp.dtype(jnp.bfloat16),
    "BOOL": np.dtype("bool"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "U8": np.dtype("u1"),
    "U32": np.dtype("<u4"),
}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A net as it comes back from disk.

    Args:
        module: the untrained module, equal to the one that was saved.
        variables: its weights, a tree of arrays.
        input_shape: the shape *S of one example.
        metadata: what the caller of `save` wanted to remember.
    """

    module: nn.Module
    variables: functional.Variables
    input_shape: tuple[int, ...]
    metadata: dict[str, Any]

    @property
    def logits_fn(self) -> Partial:
        """Examples [*B, *S] to logits [*B, K]; new weights do not recompile."""
        return functional.logits_fn(self.module, self.variables)


def save(
    path: PathLike,
    module: networks.Classifier,
    variables: functional.Variables,
    *,
    input_shape: tuple[int, ...],
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Writes a net of `models.by_name` with its weights, whole or not at all.

    Guarantees: `load` gives an equal module and bit-equal weights; the bytes depend on
    the arguments only; an existing file stays as it was on any failure.

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
    path = pathlib.Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path={path}; expected an existing directory; make it")
    arrays = _arrays(variables)
    _check_fit(f"module={module!r}", module, tuple(input_shape), arrays)
    tensors, offset = {}, 0
    for name, array in arrays.items():
        end = offset + array.nbytes
        tensors[name] = {
            "dtype": _dtype_name(name, array.dtype),
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    described = {
        "format": _FORMAT,
        "version": _VERSION,
        "sha256": _BLANK,
        "model": _name(module),
        "config": _json(_config(module)),
        "input_shape": _json(input_shape),
        "metadata": _json(dict(metadata or {})),
    }
    data = b"".join(array.tobytes() for array in arrays.values())
    text = json.dumps({"__metadata__": described, **tensors}, separators=(",", ":"))
    header = text.encode()
    header += b" " * (-len(header) % 8)  # As safetensors aligns its arrays.
    header = header.replace(_BLANK.encode(), _digest(header, data).encode(), 1)
    with atomic_path(path) as temporary:
        temporary.write_bytes(len(header).to_bytes(8, "little") + header + data)


def load(path: PathLike) -> Checkpoint:
    """Reads a net that `save` wrote.

    Guarantees: every byte was checked; nothing in the file is executed.

    Args:
        path: the file.
    Raises: FileNotFoundError: no such file. ValueError: a file that is not such a
        checkpoint, is cut short, damaged or of a later version, or whose weights do not
        fit the net it names.
    """
    checks.path("path", path)
    path = pathlib.Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FileNotFoundError(
            f"path={path}; expected a checkpoint ({error.strerror}); check the "
            "name, or train a net first"
        ) from error
    described, tensors, data = _parse(path, raw)
    # The checksum holds: from here on the file says what its writer meant.
    arrays = {name: _array(entry, data) for name, entry in tensors.items()}
    input_shape = tuple(json.loads(described["input_shape"]))
    try:
        module = catalog.by_name(described["model"], **json.loads(described["config"]))
    except ValueError as error:
        raise ValueError(f"path={path}; {error}") from error
    _check_fit(f"path={path}", module, input_shape, arrays)
    variables = traverse_util.unflatten_dict(
        {name: _on_device(path, name, array) for name, array in arrays.items()},
        sep="/",
    )
    return Checkpoint(module, variables, input_shape, json.loads(described["metadata"]))


def _parse(
    path: pathlib.Path, raw: bytes
) -> tuple[dict[str, str], dict[str, Any], bytes]:
    """Description, table of arrays and arrays of a file that is ours and whole."""
    if raw[8 : 8 + len(_START)] != _START:
        raise ValueError(
            f"path={path}; expected a checkpoint written by models.save, found another "
            "kind of file or the first bytes of one; check the name"
        )
    start = 8 + int.from_bytes(raw[:8], "little")
    try:
        tensors = json.loads(raw[8:start])
        described = tensors.pop("__metadata__")
        ends = [int(entry["data_offsets"][1]) for entry in tensors.values()]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        kind = "cut short" if len(raw) < start else "damaged (its header is not JSON)"
        raise ValueError(
            f"path={path}; the checkpoint is {kind}; copy it again"
        ) from error
    if described.get("version") != _VERSION:
        raise ValueError(
            f"path={path}; the checkpoint has format version "
            f"{described.get('version')}, this library reads {_VERSION}; "
            "update robust_jax"
        )
    size = start + max(ends, default=0)
    if len(raw) < size:
        raise ValueError(
            f"path={path}; the checkpoint is cut short ({len(raw)} of {size} bytes); "
            "copy it again"
        )
    digest = str(described.get("sha256"))
    signed = raw[8:start].replace(digest.encode(), _BLANK.encode(), 1)
    if digest != _digest(signed, raw[start:]):
        raise ValueError(
            f"path={path}; the checkpoint is damaged (its checksum differs); "
            "copy it again"
        )
    return described, tensors, raw[start:]


def _digest(header: bytes, data: bytes) -> str:
    """SHA-256 of header and arrays, where the header has a blank for it."""
    return hashlib.sha256(header + data).hexdigest()


def _check_fit(
    source: str,
    module: nn.Module,
    input_shape: tuple[int, ...],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Raises ValueError unless the arrays are what the module would start from."""
    fresh = functional.abstract_variables(module, input_shape)
    expected = {
        k: v.shape for k, v in traverse_util.flatten_dict(fresh, sep="/").items()
    }
    found = {name: array.shape for name, array in arrays.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ValueError(
                f"{source}; the weights {name} have shape {found.get(name)}, but "
                f"{type(module).__name__} on inputs {input_shape} expects "
                f"{expected.get(name)}; use the weights of this very net"
            )


def _arrays(variables: functional.Variables) -> dict[str, np.ndarray]:
    flat = traverse_util.flatten_dict(variables, sep="/")
    little = {name: np.asarray(flat[name]) for name in sorted(flat)}
    return {name: a.astype(a.dtype.newbyteorder("<")) for name, a in little.items()}


def _array(entry: Mapping[str, Any], data: bytes) -> np.ndarray:
    start, end = entry["data_offsets"]
    flat = np.frombuffer(data[start:end], _DTYPES[entry["dtype"]])
    return flat.reshape(entry["shape"])


def _on_device(path: pathlib.Path, name: str, array: np.ndarray) -> jax.Array:
    placed = jnp.asarray(array)
    if placed.dtype != array.dtype:
        raise ValueError(
            f"path={path}; the weights {name} are {array.dtype}, which JAX would "
            "round; set jax_enable_x64"
        )
    return placed


def _dtype_name(name: str, dtype: np.dtype) -> str:
    for known, candidate in _DTYPES.items():
        if candidate == dtype:
            return known
    raise ValueError(
        f"variables[{name!r}].dtype={dtype}; expected one of {', '.join(_DTYPES)}; "
        "convert it first"
    )


def _name(module: nn.Module) -> str:
    for name, network in catalog.NETWORKS.items():
        if type(module) is network:
            return name
    raise ValueError(
        f"module={type(module).__name__}; expected a net of models.by_name "
        f"({', '.join(catalog.names())}); save the weights of others by your own means"
    )


def _config(module: nn.Module) -> dict[str, Any]:
    fields = (field.name for field in dataclasses.fields(module))
    return {
        name: getattr(module, name) for name in fields if name not in ("parent", "name")
    }


def _json(value: Any) -> str:
    return json.dumps(plain(value), allow_nan=False)
