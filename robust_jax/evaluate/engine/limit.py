"""A time at which an evaluation stops, and what still fits before it (host)."""

import dataclasses
import math
import time

from robust_jax.core import checks


@dataclasses.dataclass
class Limit:
    """So many minutes from now; None for no limit.

    Args:
        minutes: until the end.
        reserved: seconds before it that something else will need.
    Raises: ValueError: minutes that are not a number > 0.
    """

    minutes: float | None = None
    reserved: float = 0.0

    def __post_init__(self) -> None:
        self._end = math.inf
        if self.minutes is not None:
            checks.positive_number("limit_minutes", self.minutes)
            self._end = time.monotonic() + 60 * float(self.minutes)

    @property
    def left(self) -> float:
        """Seconds; inf without a limit."""
        return self._end - self.reserved - time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether nothing is to be begun any more."""
        return self.left <= 0


class Pace:
    """How many calls of a step fit before a limit, by how long the last ones took.

    Calls are dispatched ahead: those of one round of the host are over in the next.
    """

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._seconds: float | None = None  # of a call
        self._round = time.monotonic(), 0  # its end, calls in flight

    def calls(self, wanted: int, tiles: int) -> int:
        """How many each tile may take now, at most `wanted`; 0: the time is over."""
        left = self._limit.left
        if left == math.inf:
            return wanted
        if self._seconds is None:
            return 1 if left > 0 else 0
        fit = left / max(self._seconds, 1e-9) - self._round[1]
        return max(0, min(wanted, int(fit / tiles)))

    def dispatched(self, calls: int) -> None:
        """A round is over, which has dispatched so many calls, of all tiles."""
        now, (before, in_flight) = time.monotonic(), self._round
        if in_flight:
            self._seconds = (now - before) / in_flight
        self._round = now, calls
