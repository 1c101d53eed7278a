"""Rows of the arrays of an npz, read as a stream: what is not asked for is not kept."""

import pathlib
import zipfile
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

import numpy as np

_AT_ONCE = 1 << 18  # bytes, of what is passed over
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class Array(NamedTuple):
    """What the head of an array says."""

    shape: tuple[int, ...]
    dtype: np.dtype


def header(path: pathlib.Path, name: str) -> Array:
    """Shape and type of an array of an npz.

    Raises: KeyError: no such array. ValueError: one whose rows cannot be picked.
    """
    with zipfile.ZipFile(path) as whole, whole.open(f"{name}.npy") as file:
        return _header(file)


def rows(path: pathlib.Path, name: str, at: Sequence[int]) -> Iterator[np.ndarray]:
    """The rows of an array of an npz, one at a time; reading ends with the last one.

    Args:
        path: a file of `numpy.savez` or `numpy.savez_compressed`.
        name: of the array.
        at: positions along the first axis, ascending.
    Raises: as `header`; EOFError, zlib.error, zipfile.BadZipFile: a damaged file.
    """
    with zipfile.ZipFile(path) as whole, whole.open(f"{name}.npy") as file:
        shape, dtype = _header(file)
        size = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
        row = 0
        for wanted in at:
            _skip(file, (wanted - row) * size)
            yield np.frombuffer(_exactly(file, size), dtype).reshape(shape[1:])
            row = wanted + 1


def _header(file: IO[bytes]) -> Array:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"an array of version {version}")
    shape, is_fortran, dtype = _HEADERS[version](file)
    if is_fortran or dtype.hasobject or not shape:
        raise ValueError(f"an array of shape {shape} and type {dtype} has no rows")
    return Array(shape, dtype)


def _skip(file: IO[bytes], size: int) -> None:
    while size > 0:
        size -= len(_exactly(file, min(size, _AT_ONCE)))


def _exactly(file: IO[bytes], size: int) -> bytes:
    found = file.read(size)
    if len(found) < size:
        raise EOFError("the array ends too early")
    return found
