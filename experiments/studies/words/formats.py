"""Word vectors in word2vec's text and binary files, as gensim reads and writes (host).

A line with the numbers of words and of coordinates; then each word, a space, and its
coordinates: decimals with spaces between, or float32 in little-endian bytes. A word may
have any letters but the space and the end of a line: published ones have U+00A0.
"""

import gzip
import pathlib
import zlib
from typing import IO

import numpy as np

from experiments.studies.words.vectors import WordVectors
from robust_jax.core import checks, records

_FLOAT = np.dtype("<f4")
_LONGEST = 1000  # Bytes of a word.
_WIDEST = 100_000  # Coordinates.
_DECIMAL = 40  # Bytes of a coordinate in decimals, with the space.
_AT_FIRST = 1 << 12  # Rows for which there is room before any is read.


def save(path: records.PathLike, vectors: WordVectors, *, binary: bool) -> None:
    """Writes vectors, whole or not at all.

    Decimals are the shortest that give the same float32 again.

    Args:
        path: the file; one that ends in .gz is packed.
        vectors: words without spaces and ends of lines.
        binary: bytes or decimals.
    Raises: ValueError: a word that the format cannot hold.
    """
    checks.path("path", path)
    checks.instance("vectors", vectors, WordVectors, "a WordVectors")
    checks.flag("binary", binary)
    for word in vectors.words:
        if not word or " " in word or "\n" in word:
            raise ValueError(
                f"word={checks.shown(word)}; expected letters, no space and no end of "
                "a line"
            )
    with records.atomic_path(path) as temporary:
        opener = gzip.open if temporary.suffix == ".gz" else open
        with opener(temporary, "wb") as file:
            file.write(f"{len(vectors)} {vectors.matrix.shape[1]}\n".encode())
            for word, row in zip(vectors.words, vectors.matrix, strict=True):
                file.write(word.encode() + b" ")
                file.write(row.astype(_FLOAT).tobytes() if binary else _decimals(row))
                file.write(b"\n")


def load(path: records.PathLike, *, binary: bool) -> WordVectors:
    """Reads vectors that `save`, word2vec or gensim wrote.

    Raises: FileNotFoundError: no such file. ValueError: a file that ends too early, or
        is of another form; with what was expected where.
    """
    checks.path("path", path)
    checks.flag("binary", binary)
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected word vectors")
    with _opened(path) as file:
        count, size = _header(path, file)
        words, rows = [], np.empty((min(count, _AT_FIRST), size), np.float32)
        for i in range(count):
            if i == len(rows):  # As the file goes on, whatever its head says.
                rows.resize((min(count, 2 * i), size), refcheck=False)
            try:
                word, rows[i] = (_in_bytes if binary else _in_text)(file, size)
            except (ValueError, OSError, EOFError, zlib.error) as error:
                form = "binary" if binary else "text"
                raise ValueError(
                    f"{path}: word {i + 1} of {count}: {error}; is it a {form} file, "
                    "and whole?"
                ) from None
            words.append(word)
    return WordVectors(tuple(words), rows)


def _header(path: pathlib.Path, file: IO[bytes]) -> tuple[int, int]:
    """The numbers of words and of coordinates."""
    try:
        header = file.readline(_LONGEST).split()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: {error}; is it whole?") from error
    try:
        count, size = map(int, header)
    except ValueError:
        count, size = 0, 0
    if count < 1 or not 1 <= size <= _WIDEST:
        raise ValueError(
            f"{path}:1: {b' '.join(header)[:60]!r}; expected the numbers of words and "
            f"of coordinates, at most {_WIDEST:,}"
        )
    return count, size


def _opened(path: pathlib.Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _decimals(row):
    return " ".join(str(value) for value in row.astype(np.float32)).encode()


def _in_text(file: IO[bytes], size: int) -> tuple[str, np.ndarray]:
    line = file.readline(_LONGEST + _DECIMAL * size)
    word, _, rest = line.partition(b" ")
    numbers = rest.split()
    if len(numbers) != size:
        raise ValueError(f"{len(numbers)} coordinates; expected {size}")
    return word.decode(), np.array(numbers, np.float32)


def _in_bytes(file: IO[bytes], size: int) -> tuple[str, np.ndarray]:
    letters = bytearray()
    while (letter := file.read(1)) != b" ":
        if not letter or len(letters) > _LONGEST:
            raise ValueError("no word that ends in a space")
        if letter != b"\n":  # word2vec ends a row so, some writers do not.
            letters += letter
    data = file.read(_FLOAT.itemsize * size)
    if len(data) < _FLOAT.itemsize * size:
        raise ValueError(f"{len(data)} bytes of coordinates; expected {4 * size}")
    return letters.decode(), np.frombuffer(data, _FLOAT)
