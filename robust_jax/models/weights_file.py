"""The bytes of a net on disk, in the safetensors format: written, read, checked (host).

The arrays are safetensors' own work. Its texts come in another order each time, so they
are set in here, with a SHA-256 of the file: nothing of a file is believed before that
holds, and the arrays are those of the very bytes that were checked.
"""

import hashlib
import json
import pathlib
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from robust_jax.core.records import atomic_path

_FORMAT = "robust_jax checkpoint"
_VERSION = "1"
# Our header starts like this, so that a file cut inside it is known as ours.
_START = b'{"__metadata__":{"format":"' + _FORMAT.encode()
_BLANK = b"0" * 64
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
_TORCH = "of PyTorch, name the model torch:package.module:factory, and weights={}"
_ELSEWHERE = {  # By the ending: how `load_model` and --model take it.
    ".onnx": "of ONNX, name the model onnx:{}",
    ".pt": _TORCH,
    ".pth": _TORCH,
}


class Content(NamedTuple):
    """What a file holds."""

    described: dict[str, str]  # what its writer wanted said, texts by name
    arrays: dict[str, np.ndarray]  # contiguous


def write(path: pathlib.Path, content: Content) -> None:
    """Writes a file, whole or not at all; the bytes depend on the content only.

    Raises: ValueError: an array of a type that the format lacks.
    """
    for name, array in content.arrays.items():
        if array.dtype not in _DTYPES.values():
            raise ValueError(
                f"variables[{name!r}].dtype={array.dtype}; expected one of "
                f"{', '.join(_DTYPES)}; convert it first"
            )
    _, bare, data = _parts(safetensors.numpy.save(content.arrays))
    ours = {"format": _FORMAT, "version": _VERSION, "sha256": _BLANK.decode()}
    table = {"__metadata__": {**ours, **content.described}, **json.loads(bare)}
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # As safetensors aligns its arrays.
    header = header.replace(_BLANK, _digest(header, data).encode(), 1)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.writelines([len(header).to_bytes(8, "little"), header, data])


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
                "another kind of file or the first bytes of one; "
                + _ELSEWHERE.get(path.suffix, "check the name").format(path)
            )
        raw = head + file.read()
    length, header, data = _parts(raw)
    if len(raw) < 8 + length:
        raise _broken(path, f"cut short ({len(raw)} of at least {8 + length} bytes)")
    try:
        table = json.loads(header)
        described = dict(table.pop("__metadata__"))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _broken(path, "damaged (its header is not JSON)") from error
    if described.get("version") != _VERSION:
        raise ValueError(
            f"path={path}; the checkpoint has format version "
            f"{described.get('version')}, this library reads {_VERSION}; update "
            "robust_jax"
        )
    try:
        ends = (entry["data_offsets"][1] for entry in table.values())
        whole = 8 + length + max(ends, default=0)
    except (LookupError, TypeError) as error:
        raise _broken(path, "damaged (an array has no offsets)") from error
    if len(raw) < whole:
        raise _broken(path, f"cut short ({len(raw)} of {whole} bytes)")
    if len(raw) > whole:
        raise _broken(path, f"damaged ({len(raw)} bytes in place of {whole})")
    digest = str(described.get("sha256"))
    if digest != _digest(header.replace(digest.encode(), _BLANK, 1), data):
        raise _broken(path, "damaged (its checksum differs)")
    try:
        found = {name: _array(**entry) for name, entry in safetensors.deserialize(raw)}
    except (safetensors.SafetensorError, KeyError) as error:
        raise _broken(path, f"damaged ({' '.join(str(error).split())})") from error
    return Content(described, dict(sorted(found.items())))


def _parts(raw: bytes) -> tuple[int, bytes, memoryview]:
    """The header's length as the file says, the header and what is behind."""
    length = int.from_bytes(raw[:8], "little")
    return length, raw[8 : 8 + length], memoryview(raw)[8 + length :]


def _broken(path: pathlib.Path, how: str) -> ValueError:
    return ValueError(f"path={path}; the checkpoint is {how}; copy it again")


def _digest(header: bytes, data: memoryview) -> str:
    """SHA-256 of header and arrays, where the header has a blank for it."""
    total = hashlib.sha256(header)
    total.update(data)
    return total.hexdigest()


def _array(dtype: str, shape: list[int], data: bytes) -> np.ndarray:
    return np.frombuffer(data, _DTYPES[dtype]).reshape(shape)
