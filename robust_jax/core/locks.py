"""One run at a time in a folder (host)."""

import contextlib
import fcntl
import os
import pathlib
from typing import IO

_FILE = ".lock"


class Lock:
    """A folder that this run alone writes to, until `release` or its process's end.

    The system takes the lock from a process that dies, however it dies, so that what a
    killed run leaves behind is free.
    Edge cases: on a file system without locks everybody gets one.

    Args:
        folder: an existing one.
        name: of the argument, for the sentence.
    Raises: ValueError: another run, or this process, holds it already.
    """

    def __init__(self, folder: pathlib.Path, name: str) -> None:
        self._path = folder / _FILE
        self._file = _locked(self._path, name)

    def release(self) -> None:
        """Lets others in; the lock's file is removed."""
        if not self._file.closed:
            with contextlib.suppress(OSError):  # As on a folder that is gone.
                self._path.unlink(missing_ok=True)
            self._file.close()


def _locked(path: pathlib.Path, name: str) -> IO[str]:
    while True:
        try:
            file = path.open("a+")
        except OSError as error:
            raise ValueError(
                f"{name}={path.parent}; expected a directory that can be written "
                f"({error.strerror}); choose another one or change its permissions"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            with file:
                raise ValueError(_in_use(file, path.parent, name)) from error
        except OSError:  # A file system without locks.
            return file
        if _is_still_there(file, path):
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            return file
        file.close()  # Its last owner has removed it meanwhile.


def _in_use(file: IO[str], folder: pathlib.Path, name: str) -> str:
    file.seek(0)
    owner = file.read(20).strip()
    return (
        f"{name}={folder} is in use by another run"
        f"{f' (process {owner})' if owner.isdigit() else ''}; wait for its end, or "
        "choose another folder"
    )


def _is_still_there(file: IO[str], path: pathlib.Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False
