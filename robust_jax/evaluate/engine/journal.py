"""Finished work items on disk, so that a killed evaluation goes on where it was.

A folder holds `journal.json`, which says in plain values what evaluation it is of, and
parts, each written whole under the digest of its own bytes, so that no part can take
another's name and a damaged one is known. Each part names its evaluation itself: what
is left of a journal that was half removed, or was copied here, is known for what it is.
A part also has the seconds of its sitting, of one process, that its stages took since
the part before.
"""

import contextlib
import hashlib
import io
import json
import pathlib
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from robust_jax.core import locks, records
from robust_jax.evaluate.engine.clock import Clock, Taken

_FORMAT = 3
_HEADER, _PARTS = "journal.json", "part-*"
_TEMPORARY = (".part-*", ".journal.*")  # Of a write that was killed.
_DIGITS = 32  # Of a digest, in hexadecimal.
_EVERY = 30.0  # Seconds: what a kill loses at most, besides items that were running.
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


class _Part(NamedTuple):
    entries: list[Entry]
    sitting: str
    seconds: dict[int, float]  # by stage


class Journal:
    """Appends finished items to a folder, in parts written whole or not at all.

    Guarantees: the entries are of this evaluation and as they were written, or the
    folder is refused; one run at a time, until `close`.

    Args:
        folder: made if it is missing; entries that are there already are kept.
        identity: what the entries depend on, of plain values. A folder that was begun
            for another evaluation is refused.
    Raises: ValueError: a folder of another evaluation, in use by another run, damaged,
        or one that cannot be written.
    """

    def __init__(self, folder: records.PathLike, identity: Mapping[str, Any]) -> None:
        self._folder = records.prepare_out_dir(folder, "journal")
        self._lock = locks.Lock(self._folder, "journal")
        self._pending: list[Entry] = []
        self._written = time.monotonic()
        self._clock = Clock()
        plain = {"format": _FORMAT, **records.plain(dict(identity))}
        self._evaluation = _digest(json.dumps(plain, sort_keys=True).encode())
        try:
            self._begin(plain)
        except BaseException:
            self.close()
            raise

    def _begin(self, identity: dict[str, Any]) -> None:
        header = self._folder / _HEADER
        if header.exists():
            _same_or_raise(self._folder, _header(header), identity)
        parts = sorted(self._folder.glob(_PARTS))
        read = [_read(part, self._evaluation) for part in parts]
        self._entries = _merged(part.entries for part in read)
        self._sittings = _sittings(read)
        _remove(self._folder, *_TEMPORARY)
        if not header.exists():
            with _writing(self._folder):
                records.write_json(header, identity)

    def entries(self) -> list[Entry]:
        """What earlier sittings finished, by stage, position and place."""
        return self._entries

    def sittings(self) -> list[dict[int, float]]:
        """Seconds that earlier sittings took, by stage, as far as they were kept."""
        return self._sittings

    def at(self, stage: int | None) -> None:
        """The seconds from now on are of this stage."""
        self._clock.at(stage)

    def add(self, entry: Entry) -> None:
        """Keeps an entry; writes all pending ones if the last write is 30 s ago.

        Raises: ValueError: as `flush`.
        """
        self._pending.append(entry)
        if time.monotonic() - self._written > _EVERY:
            self.flush()

    def flush(self) -> None:
        """Writes all pending entries.

        Raises: ValueError: the folder cannot be written; what it holds stays as it is.
        """
        if self._pending:
            taken = self._clock.taken()
            content = _content(self._evaluation, self._pending, taken)
            path = self._folder / f"part-{_digest(content)}.npz"
            with _writing(self._folder), records.atomic_path(path) as temporary:
                temporary.write_bytes(content)
            self._pending = []
        self._written = time.monotonic()

    def close(self) -> None:
        """Lets other runs use the folder; nothing is written."""
        self._lock.release()


def remove(folder: records.PathLike) -> None:
    """Removes a journal: its own files, and the folder if nothing else is there.

    Guarantees: what a kill leaves of it is still of its evaluation alone.
    Edge cases: one that another run has taken up meanwhile is left to that run.
    """
    path = pathlib.Path(folder)
    if not path.is_dir():
        return
    try:
        lock = locks.Lock(path, "journal")
    except ValueError:
        return
    _remove(path, *_TEMPORARY, _PARTS, _HEADER)
    with contextlib.suppress(OSError):  # Something else is there.
        path.rmdir()
    lock.release()


def _remove(folder: pathlib.Path, *patterns: str) -> None:
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


@contextlib.contextmanager
def _writing(folder: pathlib.Path) -> Any:
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"journal={folder} cannot be written ({error.strerror}); make room or "
            "choose another folder: what it holds stays, and the same evaluation goes "
            "on from there"
        ) from error


def _header(path: pathlib.Path) -> dict[str, Any]:
    try:
        found = records.read_json(path)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(
            f"journal={path.parent} is damaged: {path.name} does not say which "
            "evaluation it is of; remove this folder"
        )
    return found


def _same_or_raise(
    folder: pathlib.Path, found: dict[str, Any], wanted: dict[str, Any]
) -> None:
    names = dict.fromkeys((*wanted, *found))  # In the order of the identity.
    differ = [key for key in names if found.get(key) != wanted.get(key)]
    if differ:
        key = differ[0]
        raise ValueError(
            f"journal={folder} was begun for another evaluation ({key} was "
            f"{_short(found.get(key))}, is {_short(wanted.get(key))}); choose another "
            "folder, or remove this one"
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _sittings(parts: Iterable[_Part]) -> list[dict[int, float]]:
    """Seconds by stage of each sitting, the first one first."""
    found: dict[str, dict[int, float]] = {}
    for part in parts:
        of = found.setdefault(part.sitting, {})
        for stage, seconds in part.seconds.items():
            of[stage] = of.get(stage, 0.0) + seconds
    return [found[sitting] for sitting in sorted(found)]


def _merged(parts: Iterable[list[Entry]]) -> list[Entry]:
    """The entries of all parts, each item once; it ends the same way at every run."""
    found: dict[tuple[int, int, int], Entry] = {}
    for part in parts:
        for entry in part:
            found.setdefault((entry.stage, entry.position, entry.place), entry)
    return [found[item] for item in sorted(found)]


def _content(evaluation: str, entries: list[Entry], taken: Taken) -> bytes:
    columns = {
        name: np.array([getattr(entry, name) for entry in entries]) for name in _COLUMNS
    }
    won = [k for k, entry in enumerate(entries) if entry.x_adv is not None]
    columns["won"] = np.array(won, np.int64)
    columns["x_adv"] = np.array([entries[k].x_adv for k in won])
    columns["stages_of_seconds"] = np.array(list(taken.seconds), np.int64)
    columns["seconds"] = np.array(list(taken.seconds.values()), np.float64)
    texts = {"evaluation": np.array(evaluation), "sitting": np.array(taken.sitting)}
    file = io.BytesIO()
    np.savez(file, **texts, **columns)  # type: ignore[arg-type]
    return file.getvalue()


def _read(path: pathlib.Path, evaluation: str) -> _Part:
    """A part's entries and seconds.

    Raises: ValueError: it is not as it was written, or of another evaluation.
    """
    try:
        content = path.read_bytes()
        if path.name != f"part-{_digest(content)}.npz":
            raise ValueError("its name is not the digest of its content")
        with np.load(io.BytesIO(content)) as file:
            theirs, sitting = str(file["evaluation"]), str(file["sitting"])
            stages, seconds = file["stages_of_seconds"], file["seconds"]
            taken = dict(zip(stages.tolist(), seconds.tolist(), strict=True))
            columns = [file[name].tolist() for name in _COLUMNS]
            found = dict(zip(file["won"].tolist(), file["x_adv"], strict=True))
        rows = list(zip(*columns, strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"journal={path} is damaged ({error}); remove this file: its items will "
            "run again"
        ) from error
    if theirs != evaluation:
        raise ValueError(
            f"journal={path} belongs to another evaluation; choose another folder, or "
            "remove this one"
        )
    entries = [Entry._make((*row, found.get(k))) for k, row in enumerate(rows)]
    return _Part(entries, sitting, taken)
