"""Finished work items on disk, so that a killed evaluation goes on where it was."""

import pathlib
import time
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from robust_jax.core import records

_HEADER = "journal.json"
_EVERY = (
    30.0  # Seconds: what a kill loses at most, besides the items that were running.
)
_COLUMNS = ("stage", "position", "place", "margin", "forwards", "backwards")


class Entry(NamedTuple):
    """One finished item."""

    stage: int  # place in the plan
    position: int  # of the example in the evaluation
    place: int  # target * restarts + restart
    margin: float
    forwards: int
    backwards: int
    x_adv: np.ndarray | None  # [*S], of a success


class Journal:
    """Appends finished items to a folder, in parts written whole or not at all.

    Args:
        folder: made if it is missing; entries that are there already are kept.
        identity: what the entries depend on, of plain values. A folder that was begun
            for another evaluation is refused.
    Raises: ValueError: a folder of another evaluation, or one that cannot be written.
    """

    def __init__(self, folder: records.PathLike, identity: Mapping[str, Any]) -> None:
        self._folder = records.prepare_out_dir(folder)
        header, plain = self._folder / _HEADER, records.plain(dict(identity))
        if header.exists():
            _same_or_raise(self._folder, records.read_json(header), plain)
        else:
            records.write_json(header, plain)
        self._parts = sorted(self._folder.glob("part-*.npz"))
        self._pending: list[Entry] = []
        self._written = time.monotonic()

    def entries(self) -> list[Entry]:
        """What earlier sessions finished, in the order in which it was written."""
        return [entry for part in self._parts for entry in _read(part)]

    def add(self, entry: Entry) -> None:
        """Keeps an entry; writes all pending ones if the last write is 30 s ago."""
        self._pending.append(entry)
        if time.monotonic() - self._written > _EVERY:
            self.flush()

    def flush(self) -> None:
        """Writes all pending entries."""
        if self._pending:
            path = self._folder / f"part-{len(self._parts):06d}.npz"
            _write(path, self._pending)
            self._parts.append(path)
            self._pending = []
        self._written = time.monotonic()


def _same_or_raise(folder: pathlib.Path, found: Any, wanted: Any) -> None:
    names = dict.fromkeys((*wanted, *found))  # In the order of the identity.
    differ = [key for key in names if found.get(key) != wanted.get(key)]
    if differ:
        key = differ[0]
        raise ValueError(
            f"journal={folder} was begun for another evaluation ({key} was "
            f"{found.get(key)!r}, is {wanted.get(key)!r}); choose another folder, or "
            "remove this one"
        )


def _write(path: pathlib.Path, entries: list[Entry]) -> None:
    columns = {
        name: np.array([getattr(entry, name) for entry in entries]) for name in _COLUMNS
    }
    won = [k for k, entry in enumerate(entries) if entry.x_adv is not None]
    found = np.array([entries[k].x_adv for k in won])
    with records.atomic_path(path) as temporary:
        np.savez(temporary, won=np.array(won, np.int64), x_adv=found, **columns)  # type: ignore[arg-type]


def _read(path: pathlib.Path) -> list[Entry]:
    try:
        # Opened here: of a damaged zip NumPy 2 would leave the file open.
        with path.open("rb") as whole, np.load(whole) as file:
            columns = [file[name].tolist() for name in _COLUMNS]
            found = dict(zip(file["won"].tolist(), file["x_adv"], strict=True))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"journal={path} cannot be read ({error}); remove this file: its items "
            "will run again"
        ) from error
    rows = zip(*columns, strict=True)
    return [Entry._make((*row, found.get(k))) for k, row in enumerate(rows)]
