"""One run at a time in a folder (host)."""

import fcntl
import os
import pathlib


class Lock:
    """A folder that this run alone writes to, until `release` or its process's end.

    The system takes the lock from a process that dies, however it dies, and nothing is
    written for it, so that a killed run leaves nothing in the way.
    Edge cases: on a file system without locks everybody gets one.

    Args:
        folder: made again if its last owner has removed it meanwhile.
        name: of the argument, for the sentence.
    Raises: ValueError: another run, or this process, holds it already.
    """

    def __init__(self, folder: pathlib.Path, name: str) -> None:
        self._descriptor: int | None = _locked(folder, name)

    def release(self) -> None:
        """Lets others in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _locked(folder: pathlib.Path, name: str) -> int:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise ValueError(
                f"{name}={folder} is in use by another run; wait for its end, or "
                "choose another folder"
            ) from error
        except OSError:  # A file system without locks.
            return descriptor
        if _is_still_there(descriptor, folder):
            return descriptor
        os.close(descriptor)


def _is_still_there(descriptor: int, folder: pathlib.Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except OSError:
        return False
