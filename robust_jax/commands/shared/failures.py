"""What an experiment reports and does when it cannot go on."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import NoReturn

from absl import logging


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """A user's error, or the system's, is one sentence on stderr and exit code 2.

    Ctrl-C exits with 130 and says whether the same command goes on, see `resumable`; a
    reader of the output that has left exits with 141, as in a shell.
    `--verbosity=1` shows where an error came from.
    """
    try:
        yield
        sys.stdout.flush()  # Else a full disk is met by nobody.
    except KeyboardInterrupt as stop:
        then = stop.args[0] if stop.args else "nothing is kept"
        print(f"stopped; {then}", file=sys.stderr)
        _leave(130)
    except BrokenPipeError:
        _leave(141)
    except (ValueError, ImportError, OSError, MemoryError) as error:
        logging.debug("where the error came from", exc_info=True)
        print(f"error: {_sentence(error)}", file=sys.stderr)
        _leave(2)


@contextlib.contextmanager
def resumable() -> Iterator[None]:
    """What Ctrl-C stops in it has kept its finished work."""
    try:
        yield
    except KeyboardInterrupt:
        said = "the same command goes on from what was finished"
        raise KeyboardInterrupt(said) from None


def _sentence(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"not enough memory ({error}); ask for less, or free some"
    if not isinstance(error, OSError) or error.errno is None:
        return " ".join(str(error).split())
    where = "the output" if error.filename is None else os.fspath(error.filename)
    return (
        f"{where} cannot be read or written ({error.strerror}); make room, or give "
        "another place; what was finished before is as it was"
    )


def _leave(code: int) -> NoReturn:
    """Exits; what cannot be printed goes nowhere, as Python would fail at it."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
