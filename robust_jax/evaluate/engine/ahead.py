"""Programs that are compiled in threads, while others run (host)."""

import concurrent.futures
import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


def cores() -> int:
    """How many programs are compiled at a time: one for each core of this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _pool() -> concurrent.futures.ThreadPoolExecutor:
    """XLA works outside Python's lock: a thread for each core, first come first served.

    Of the whole process, so that all evaluations together begin no more.
    """
    return concurrent.futures.ThreadPoolExecutor(cores(), "compile")


class Ahead:
    """Things that are made in threads, each on its own; see `made`."""

    def __init__(self, plans: dict[str, Callable[[], Any]]) -> None:
        self._plans = plans
        self._futures: dict[str, Future[Any]] = {}
        self.begin()

    def begin(self) -> None:
        """Begins what has not begun, or was cancelled."""
        for name, plan in self._plans.items():
            if name not in self._futures or self._futures[name].cancelled():
                self._futures[name] = _pool().submit(plan)

    def made(self, name: str) -> Any:
        """Waits for one of them."""
        return self._futures[name].result()

    def is_made(self, name: str) -> bool:
        """Whether one of them is there already."""
        return self._futures[name].done() and not self._futures[name].cancelled()

    def wait(self, seconds: float) -> bool:
        """Waits for all of them, at most so long; whether all are there."""
        some = self._futures.values()
        within = min(max(seconds, 0.0), threading.TIMEOUT_MAX)
        return not concurrent.futures.wait(some, within).not_done

    def cancel(self) -> None:
        """Gives up what no thread has begun; `begin` takes it up again."""
        for future in self._futures.values():
            future.cancel()
