"""Readers for the files that the authors of the data sets publish; NumPy arrays out.

Nothing is unpacked to disk, and no more into memory than a data set can be. A file that
is not what it should be is a ValueError that names it.
"""

import contextlib
import gzip
import hashlib
import math
import os
import pathlib
import struct
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_IDX_UINT8 = 0x08  # the type code of unsigned bytes in an idx header
_CIFAR_SHAPE = (3, 32, 32)
_MOST = 1 << 30  # Bytes of a file unpacked; the largest is SVHN's, 225 MB.
_AT_ONCE = 1 << 20
_MAT_HEADER = 128
_MAT_PACKED = 15


class RawSplit(NamedTuple):
    """One split as published, in the published order."""

    images: NDArray[np.uint8]  # [N, H, W, C]
    labels: dict[str, NDArray[np.uint8]]  # feature name -> [N]


def check_sha256(path: pathlib.Path, expected: str) -> None:
    """Raises a ValueError with both hashes unless the file has the expected one."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise ValueError(
            f"{path} has sha256 {found}; expected {expected}; "
            "fetch the official file again, or pass --no_verify to use this one"
        )


def read_idx_pair(images: pathlib.Path, labels: pathlib.Path) -> RawSplit:
    """The split in two idx.gz files (MNIST's format).

    Raises: ValueError: a file is truncated, not idx, or the two do not fit together.
    """
    pictures, numbers = _read_idx(images, rank=3), _read_idx(labels, rank=1)
    if len(pictures) != len(numbers):
        raise ValueError(
            f"{images} has {len(pictures)} images and {labels} has {len(numbers)} "
            "labels; expected as many; fetch both again"
        )
    return RawSplit(pictures[..., None], {"label": numbers})


def parse_cifar(
    path: pathlib.Path, batches: Sequence[bytes], label_keys: Sequence[str]
) -> RawSplit:
    """The images in some members of a CIFAR archive (its binary version).

    A record is one byte per label, then the red, green and blue planes.

    Args:
        path: the archive, for the message.
        batches: the members' contents, in order.
        label_keys: names of the labels, in the record's order.
    Raises: ValueError: a member is not whole records.
    """
    width = len(label_keys) + int(np.prod(_CIFAR_SHAPE))
    sizes = [len(batch) for batch in batches]
    if not all(size and size % width == 0 for size in sizes):
        raise ValueError(
            f"{path} has members of {sizes} bytes; expected multiples of {width}; "
            "fetch the file again"
        )
    records = np.frombuffer(b"".join(batches), np.uint8).reshape(-1, width)
    planes = records[:, len(label_keys) :].reshape(-1, *_CIFAR_SHAPE)
    labels = {key: records[:, at].copy() for at, key in enumerate(label_keys)}
    return RawSplit(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels)


def read_members(path: pathlib.Path, names: Sequence[str]) -> list[bytes]:
    """The contents of some members of a tar.gz, in the order of `names`.

    Raises: ValueError: the archive is truncated or lacks one of the members.
    """
    found: dict[str, bytes] = {}
    # A stream, since seeking back would unzip again, and through gzip to its end, since
    # tarfile by itself does not look at the checksum there.
    with _named(path, "a tar.gz"), gzip.open(path) as packed:
        data = _Bounded(packed)
        with tarfile.open(fileobj=data, mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                stream = archive.extractfile(member) if member.name in names else None
                if stream is not None:
                    if member.size > _MOST:  # A sparse one takes no room in the stream.
                        raise ValueError(f"{member.name} has {member.size:,} bytes")
                    found[member.name] = stream.read()
        while data.read(_AT_ONCE):
            pass
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(
            f"{path} lacks {', '.join(missing)}; expected the binary version of the "
            "data set, as published"
        )
    return [found[name] for name in names]


def read_svhn(path: pathlib.Path) -> RawSplit:
    """The split in one .mat file of cropped SVHN; the digit 0, there 10, becomes 0.

    Raises: ValueError: the file is truncated, not a .mat file, or lacks X or y.
    """
    import scipy.io  # 0.2 s, for one data set

    with _named(path, "a MATLAB 5 file"):
        _check_mat(path)
        kinds = {name: kind for name, _, kind in scipy.io.whosmat(path)}
        if (kinds["X"], kinds["y"]) not in (("uint8", "uint8"), ("uint8", "double")):
            raise ValueError(f"X and y are {kinds['X']} and {kinds['y']}")
        content = scipy.io.loadmat(path, variable_names=["X", "y"])
        images, labels = content["X"], content["y"].reshape(-1)
    good = images.dtype == np.uint8 and images.shape == (32, 32, 3, len(labels))
    if not good or not np.all((labels >= 1) & (labels <= 10)):
        raise ValueError(
            f"{path} holds X of shape {images.shape} ({images.dtype}) and y of shape "
            f"{labels.shape}; expected uint8 [32, 32, 3, N] and N labels in 1..10"
        )
    pictures = np.ascontiguousarray(np.moveaxis(images, -1, 0))
    return RawSplit(pictures, {"label": (labels % 10).astype(np.uint8)})


def _read_idx(path: pathlib.Path, rank: int) -> NDArray[np.uint8]:
    """An idx file: two zeros, the type, the rank, the sizes (big-endian), the data."""
    start = 4 + 4 * rank
    with _named(path, "a gzip file"), gzip.open(path) as stream:
        head = stream.read(start)
    if len(head) < start:
        raise ValueError(
            f"{path} is truncated or not an idx file of rank {rank} ({len(head)} of "
            f"the {start} bytes of a head); fetch the file again"
        )
    if head[:4] != bytes([0, 0, _IDX_UINT8, rank]):
        raise ValueError(
            f"{path} starts with {head[:4].hex(' ')}; expected an idx file of bytes of "
            f"rank {rank}; fetch the file again"
        )
    shape = tuple(int(size) for size in np.frombuffer(head[4:], ">u4"))
    size = math.prod(shape)
    if size > _MOST:
        raise ValueError(
            f"{path} says that it holds an array of shape {shape}; expected at most "
            f"{_MOST:,} bytes; fetch the file again"
        )
    with _named(path, "a gzip file"), gzip.open(path) as stream:
        data = stream.read(start + size + 1)  # At the end the checksum is looked at.
    if len(data) - start != size:
        found = len(data) - start
        held = f"{found}" if found < size else f"more than {size}"
        raise ValueError(
            f"{path} holds {held} bytes of data; expected shape {shape}; "
            "fetch the file again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


class _Bounded:
    """A stream that gives no more than a data set can have."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream, self._left = stream, _MOST

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {_MOST:,} bytes")
        return data


def _check_mat(path: pathlib.Path) -> None:
    """Raises ValueError if the packed elements of a .mat file are too large."""
    left = _MOST
    with path.open("rb") as file:
        order = ">" if file.read(_MAT_HEADER)[-2:] == b"MI" else "<"
        while head := file.read(8):
            kind, size = struct.unpack(f"{order}II", head)
            if kind != _MAT_PACKED:
                file.seek(size, os.SEEK_CUR)
                continue
            unpacker, packed = zlib.decompressobj(), file.read(size)
            while packed and left > 0:
                left -= len(unpacker.decompress(packed, _AT_ONCE))
                packed = unpacker.unconsumed_tail
    if left <= 0:
        raise ValueError(f"it unpacks to more than {_MOST:,} bytes")


@contextlib.contextmanager
def _named(path: pathlib.Path, what: str) -> Iterator[None]:
    """Turns what a decoder raises on foreign or truncated bytes into one sentence."""
    try:
        yield
    except (PermissionError, MemoryError):
        raise
    except Exception as error:  # No decoder says what it raises on foreign bytes.
        raise ValueError(
            f"{path} is truncated or not {what} ({error}); fetch the file again"
        ) from error
