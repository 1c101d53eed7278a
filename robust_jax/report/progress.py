"""Progress: a bar on a terminal, a log line now and then elsewhere."""

import os
import sys
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import tqdm
from absl import logging

T = TypeVar("T")

_BAR_SECONDS = 0.1
_LOG_SECONDS = 10.0
_PATIENCE = 1.0  # Seconds before the bar of a call that nobody asked to show one.
_OPEN: "weakref.WeakSet[Progress[Any]]" = weakref.WeakSet()  # What is shown now.


class Progress(Generic[T]):
    """How far a loop is; see `progress`. Also an iterator and a context manager."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        if not bar.disable:
            _OPEN.add(self)

    def update(self, n: int = 1) -> None:
        """Counts n more items."""
        self._bar.update(n)

    def set(self, **values: Any) -> None:
        """Shows these values beside the count from its next display on."""
        self._bar.set_postfix(values, refresh=False)

    def close(self) -> None:
        """Shows the last state; further calls do nothing."""
        self._bar.close()
        _OPEN.discard(self)

    def __iter__(self) -> Iterator[T]:
        with self:  # The last line also appears when the loop is left early.
            yield from self._bar

    def __enter__(self) -> "Progress[T]":
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        """A loop that ended by itself stands at 100 %, whatever it spared."""
        if kind is None and self._bar.total is not None:
            self._bar.update(max(self._bar.total - self._bar.n, 0))
        self.close()


def progress(
    iterable_or_total: Iterable[T] | int,
    description: str,
    unit: str = "it",
    *,
    is_shown: bool = True,
    patience: float = 0.0,
) -> Progress[T]:
    """Shows on stderr how far a loop is.

    A bar if stderr is a terminal. Else log lines at level INFO: at the start, then at
    most one in ten seconds, and always a last one, which tells where the loop stopped.

    Args:
        iterable_or_total: what to iterate over, or how many items `update` will count.
        description: a word or two, shown first.
        unit: what an item is.
        is_shown: False shows nothing, as for all but one of several processes.
        patience: seconds before a bar appears.
    """
    if isinstance(iterable_or_total, int):
        source: dict[str, Any] = {"total": iterable_or_total}
    else:
        source = {"iterable": iterable_or_total}
    if sys.stderr.isatty():
        place: dict[str, Any] = {"mininterval": _BAR_SECONDS, "dynamic_ncols": True}
        place["delay"] = patience
    else:
        # A width of 0 leaves the figures and drops the bar; miniters=1 looks at the
        # clock at every item, so that a slow one cannot delay a line that is due.
        place = {"mininterval": _LOG_SECONDS, "ncols": 0, "miniters": 1}
        place["file"] = _LogLines()
    return Progress(
        tqdm.tqdm(desc=description, unit=unit, disable=not is_shown, **source, **place)
    )


def is_wanted(asked: bool | None) -> bool:
    """Whether a slow function of the library shows how far it is.

    Without being asked on a terminal alone, if no bar of the caller's is there already;
    never in tests.
    """
    if asked is not None:
        return asked
    is_test = "PYTEST_CURRENT_TEST" in os.environ
    return sys.stderr.isatty() and not _OPEN and not is_test


def of_a_call(
    total: int, description: str, unit: str, asked: bool | None
) -> Progress[None]:
    """The bar of a slow function, see `is_wanted`; unasked it waits a second."""
    shown, patience = is_wanted(asked), _PATIENCE if asked is None else 0.0
    return progress(total, description, unit, is_shown=shown, patience=patience)


class _LogLines:
    """A stream for tqdm that logs each display as a line."""

    def write(self, text: str) -> None:
        line = text.strip()
        if line:
            logging.info("%s", line)

    def flush(self) -> None:
        pass
