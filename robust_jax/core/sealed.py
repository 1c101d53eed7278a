"""Entries of caches: files whose name and content a digest behind them proves (host).

Whatever lies in a cache may be cut by a kill, flipped by a disk, or copied from under
another name; then it is as if it were not there, and is made anew.
"""

import hashlib
import os
import pathlib
import uuid

_DIGEST = hashlib.sha256().digest_size


def write(path: pathlib.Path, content: bytes) -> None:
    """Writes an entry in the place of any that was there.

    It does not wait for the disk, as the digest tells what a power cut has torn. A disk
    without room costs time later, and no result: then nothing is kept.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(content + _digest(path, content))
        os.replace(temporary, path)
    except OSError:
        pass
    finally:
        temporary.unlink(missing_ok=True)


def read(path: pathlib.Path) -> bytes | None:
    """The content of an entry; None without one that `write` wrote under this name."""
    try:
        entry = path.read_bytes()
    except OSError:
        return None
    content = entry[:-_DIGEST]
    return content if entry[-_DIGEST:] == _digest(path, content) else None


def _digest(path: pathlib.Path, content: bytes) -> bytes:
    total = hashlib.sha256(path.name.encode() + b"\n")
    total.update(content)
    return total.digest()
