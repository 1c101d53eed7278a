"""Faults that happen to a running command, at a given touch of its files.

A touch is a file that is opened for writing, made, renamed or removed under OUT, as
Python's audit events tell. The clock of a fault in seconds starts at the first one.
"""

import errno
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGINT, "term": signal.SIGTERM}
_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Fault(NamedTuple):
    """What happens, and when.

    `kind` is kill (SIGKILL), stop (SIGINT), term (SIGTERM), or full: from then on no
    file can be made, or with a size in bytes none can grow beyond it.
    """

    kind: str
    touch: int | None = None
    seconds: float | None = None
    size: int | None = None


def armed(command: list[str], given: list[Any] | None) -> Callable[[], int]:
    """Prepares this process for a fault; gives a function that counts the touches."""
    out = [o.partition("=")[2] for o in command if o.startswith("--out=")]
    folder = os.path.abspath(out[0]) if out else None
    fault = None if given is None else Fault(*given)
    if fault is not None and fault.size is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.size, hard))
    count = 0

    def hook(event: str, arguments: Any) -> None:
        nonlocal count
        if not _touches(folder, event, arguments):
            return
        count += 1
        if fault is not None:
            _happen(fault, count, event, arguments)

    if folder is not None:
        sys.addaudithook(hook)
    return lambda: count


def _happen(fault: Fault, count: int, event: str, arguments: Any) -> None:
    if fault.seconds is not None and count == 1:
        timer = threading.Timer(
            fault.seconds, os.kill, (os.getpid(), _SIGNALS[fault.kind])
        )
        timer.daemon = True
        timer.start()
    if fault.touch is None or count < fault.touch:
        return
    if fault.kind != "full":
        if count == fault.touch:
            os.kill(os.getpid(), _SIGNALS[fault.kind])
    elif event in ("open", "os.mkdir"):
        number = errno.ENOSPC
        raise OSError(number, os.strerror(number), os.fspath(arguments[0]))


def _touches(folder: str | None, event: str, arguments: Any) -> bool:
    if event == "open":
        path, _, flags = arguments
        if not flags & _WRITING:
            return False
    elif event in _CHANGES:
        path, directory = arguments[0], arguments[-1]
        if event != "os.rename" and directory != -1:
            return True  # As `shutil.rmtree` does it.
    else:
        return False
    if isinstance(path, int):
        return False
    return os.path.abspath(os.fsdecode(path)).startswith(f"{folder}")
