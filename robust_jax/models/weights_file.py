"""The bytes of a net on disk, in the safetensors format: written, read, checked (host).

8 bytes with the length of a JSON header, the header, raw little-endian arrays one after
the other. Nothing of a file is believed before its SHA-256 holds, and of a file with a
true one only what has the form that `write` gives it.
"""

import hashlib
import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from robust_jax.core.records import atomic_path

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


class Content(NamedTuple):
    """What a file holds."""

    described: dict[str, str]  # what its writer wanted said, texts by name
    arrays: dict[str, np.ndarray]


def write(path: pathlib.Path, content: Content) -> None:
    """Writes a file, whole or not at all; the bytes depend on the content only.

    Raises: ValueError: an array of a type that the format lacks.
    """
    tensors, offset = {}, 0
    for name, array in content.arrays.items():
        end = offset + array.nbytes
        tensors[name] = {
            "dtype": _dtype_name(name, array.dtype),
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    ours = {"format": _FORMAT, "version": _VERSION, "sha256": _BLANK}
    described = {"__metadata__": {**ours, **content.described}}
    header = json.dumps({**described, **tensors}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # As safetensors aligns its arrays.
    data = b"".join(array.tobytes() for array in content.arrays.values())
    header = header.replace(_BLANK.encode(), _digest(header, data).encode(), 1)
    with atomic_path(path) as temporary:
        temporary.write_bytes(len(header).to_bytes(8, "little") + header + data)


def read(path: pathlib.Path) -> Content:
    """Reads what `write` wrote; of another kind of file its first bytes alone.

    Raises: OSError: no file that can be read. ValueError: a file of another kind, one
        that is cut short or damaged, or of a later version.
    """
    with path.open("rb") as file:
        head = file.read(8 + len(_START))
        if head[8:] != _START:
            raise ValueError(
                f"path={path}; expected a checkpoint written by models.save, found "
                "another kind of file or the first bytes of one; check the name"
            )
        length = int.from_bytes(head[:8], "little")
        size = os.fstat(file.fileno()).st_size
        if size < 8 + length:
            raise _broken(path, f"cut short ({size} of at least {8 + length} bytes)")
        file.seek(8)
        header = file.read(length)
        try:
            table = json.loads(header)
            described = _texts(table.pop("__metadata__"))
        except (ValueError, KeyError, RecursionError) as error:
            raise _broken(path, "damaged (its header is not JSON)") from error
        version = described.get("version")
        if version != _VERSION:
            raise ValueError(
                f"path={path}; the checkpoint has format version {version}, this "
                f"library reads {_VERSION}; update robust_jax"
            )
        try:
            whole = 8 + length + _end(table)
        except ValueError as error:
            raise _broken(path, f"damaged ({error})") from error
        if size < whole:
            raise _broken(path, f"cut short ({size} of {whole} bytes)")
        if size > whole:
            raise _broken(path, f"damaged ({size} bytes in place of {whole})")
        data = file.read()
    digest = described.get("sha256", "")
    signed = header.replace(digest.encode(), _BLANK.encode(), 1)
    if digest != _digest(signed, data):
        raise _broken(path, "damaged (its checksum differs)")
    return Content(described, {name: _array(e, data) for name, e in table.items()})


def _broken(path: pathlib.Path, how: str) -> ValueError:
    return ValueError(f"path={path}; the checkpoint is {how}; copy it again")


def _digest(header: bytes, data: bytes) -> str:
    """SHA-256 of header and arrays, where the header has a blank for it."""
    total = hashlib.sha256(header)
    total.update(data)
    return total.hexdigest()


def _texts(described: Any) -> dict[str, str]:
    if not isinstance(described, dict):
        raise ValueError("no mapping")
    if not all(isinstance(text, str) for text in described.values()):
        raise ValueError("not all of it is text")
    return described


def _end(table: Mapping[str, Any]) -> int:
    """Where the arrays end, which lie one after the other and leave no byte between.

    Raises: ValueError: entries that are not so.
    """
    offset = 0
    for name, entry in table.items():
        if not isinstance(entry, dict) or set(entry) != {
            "dtype", "shape", "data_offsets",
        }:  # fmt: skip
            raise ValueError(f"{name} has no dtype, shape and data_offsets alone")
        dtype, shape = entry["dtype"], entry["shape"]
        if not isinstance(dtype, str) or dtype not in _DTYPES:
            raise ValueError(f"{name} has the dtype {dtype!r}")
        if not isinstance(shape, list) or not all(
            type(size) is int and size >= 0 for size in shape
        ):
            raise ValueError(f"{name} has the shape {shape!r}")
        end = offset + math.prod(shape) * _DTYPES[dtype].itemsize
        if entry["data_offsets"] != [offset, end]:
            raise ValueError(
                f"{name} lies at {entry['data_offsets']!r}, expected [{offset}, {end}]"
            )
        offset = end
    return offset


def _array(entry: Mapping[str, Any], data: bytes) -> np.ndarray:
    start, end = entry["data_offsets"]
    flat = np.frombuffer(memoryview(data)[start:end], _DTYPES[entry["dtype"]])
    return flat.reshape(entry["shape"])


def _dtype_name(name: str, dtype: np.dtype) -> str:
    for known, candidate in _DTYPES.items():
        if candidate == dtype:
            return known
    raise ValueError(
        f"variables[{name!r}].dtype={dtype}; expected one of {', '.join(_DTYPES)}; "
        "convert it first"
    )
