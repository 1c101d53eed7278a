"""Which work item runs next: one stage's items, without a model or a device.

An item is an example at a place; places count the goals and restarts of the stage in
the order of the plan. The winner of an example is its earliest item that succeeds.
"""

import heapq
from typing import NamedTuple

import numpy as np


class Item(NamedTuple):
    """One attack on one example."""

    row: int  # of the example in the stage
    place: int  # target * restarts + restart


class Queue:
    """Hands out the items of one stage in target-major order.

    An item is wanted until it has ended or an earlier one of its example has won: a
    success cancels later items only, or the winner would depend on the schedule. The
    next item of an example waits for those before it, unless slots would idle.

    Args:
        allowed: [N, P] bool, which places each example is attacked at.
    """

    def __init__(self, allowed: np.ndarray) -> None:
        self._places = allowed.shape[1]
        self._unstarted = allowed.copy()
        self._unended = allowed.copy()
        self._won = np.full(len(allowed), self._places)  # P: no success
        self._running = np.zeros(len(allowed), np.int64)
        self._ready = [
            (place, row)
            for row in range(len(allowed))
            if (place := self._next(row)) is not None
        ]
        heapq.heapify(self._ready)

    def take(self) -> Item | None:
        """Starts the next item; None if there is nothing left to start."""
        while self._ready:
            place, row = heapq.heappop(self._ready)
            if self._next(row) == place and self._running[row] == 0:
                return self._started(row, place)
        # Nothing is ready: run ahead of an item that has not ended yet.
        ahead = [
            (following, row)
            for row in np.flatnonzero(self._running).tolist()
            if (following := self._next(row)) is not None
        ]
        return self._started(*reversed(min(ahead))) if ahead else None

    def wanted(self, item: Item) -> bool:
        """Whether the end of an item still matters."""
        return bool(self._unended[item]) and item.place < self._won[item.row]

    def settle(self, item: Item, won: bool) -> None:
        """An item has ended, as it was started here or in an earlier session."""
        if self._unstarted[item]:
            self._unstarted[item] = False
        else:
            self._running[item.row] -= 1
        self._unended[item] = False
        if won:
            self._won[item.row] = min(self._won[item.row], item.place)
        self._offer(item.row)

    def drop(self, item: Item) -> None:
        """A running item that nobody wants any more leaves its slot."""
        self._unended[item] = False
        self._running[item.row] -= 1

    def put_back(self, item: Item) -> None:
        """A running item is interrupted; it will start again."""
        self._unstarted[item] = True
        self._running[item.row] -= 1
        self._offer(item.row)

    def winner(self, row: int) -> int | None:
        """The earliest place that succeeded so far."""
        place = int(self._won[row])
        return place if place < self._places else None

    @property
    def left(self) -> int:
        """How many items are wanted and have not ended."""
        places = np.arange(self._places)
        return int((self._unended & (places < self._won[:, None])).sum())

    def _next(self, row: int) -> int | None:
        places = np.flatnonzero(self._unstarted[row, : self._won[row]])
        return int(places[0]) if len(places) else None

    def _offer(self, row: int) -> None:
        place = self._next(row)
        if place is not None and self._running[row] == 0:
            heapq.heappush(self._ready, (place, row))

    def _started(self, row: int, place: int) -> Item:
        self._unstarted[row, place] = False
        self._running[row] += 1
        return Item(int(row), place)
