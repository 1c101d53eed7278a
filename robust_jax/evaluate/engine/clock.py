"""How long the stages of a sitting, one process of an evaluation, take (host)."""

import time
import uuid
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from robust_jax.evaluate.results import StageResult


class Taken(NamedTuple):
    """Seconds by stage."""

    sitting: str  # sorts by its begin
    seconds: dict[int, float]


class Clock:
    """Counts the seconds of each stage since they were last taken."""

    def __init__(self) -> None:
        self._sitting = f"{time.time_ns():020d}-{uuid.uuid4().hex}"
        self._stage: int | None = None
        self._since = time.perf_counter()
        self._seconds: dict[int, float] = {}

    def at(self, stage: int | None) -> None:
        """The seconds from now on are of this stage; of None they are of nothing."""
        now = time.perf_counter()
        if self._stage is not None:
            before = self._seconds.get(self._stage, 0.0)
            self._seconds[self._stage] = before + now - self._since
        self._stage, self._since = stage, now

    def taken(self) -> Taken:
        """The seconds since the last call, which count no more."""
        self.at(self._stage)
        seconds, self._seconds = self._seconds, {}
        return Taken(self._sitting, seconds)


def in_sittings(earlier: Sequence[float], stages: Iterable[StageResult]) -> str:
    """What a report adds where its attacks went on from a journal.

    Args:
        earlier: seconds of each sitting before this one.
        stages: with the seconds of all sittings.
    """
    if not earlier:
        return ""
    total = sum(stage.seconds for stage in stages)
    each = ", ".join(f"{s:.1f}" for s in (*earlier, total - sum(earlier)))
    return f"; attacks took {total:.1f} s in {len(earlier) + 1} sittings: {each}"
