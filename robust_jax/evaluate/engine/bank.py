"""One tile of running items: which item is in which slot, and what it has cost."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from robust_jax.core.types import AttackResult, LogitsFn
from robust_jax.evaluate.engine.programs import Compiled, Programs
from robust_jax.evaluate.engine.queue import Item
from robust_jax.evaluate.engine.transitions import Slots, Snapshot
from robust_jax.evaluate.engine.work import Work

_LEAST_CALLS = 5  # Between two looks: a tile out of phase would be looked at each call.


class Status(NamedTuple):
    """What the host learns of a bank; the leading axis is the slot."""

    done: np.ndarray  # bool, of items
    waits: np.ndarray  # bool, of items whose last call is left, which needs no gradient
    cost: np.ndarray  # [S, 3] int64 since the last look: calls of `step` that were not
    # frozen; forwards and backwards that were computed


class Bank:
    """The slots of one tile.

    Args:
        compiled: the programs of the attack.
        attack: a product, on the device of the programs.
        logits_fn: the model, likewise.
        owner: of the programs, which puts host arrays there.
    """

    def __init__(
        self, compiled: Compiled, attack: Any, logits_fn: LogitsFn, owner: Programs
    ) -> None:
        slots, self._placed = owner.slots, owner.placed
        self.compiled, self._attack, self._logits_fn = compiled, attack, logits_fn
        self._nowhere = np.zeros(slots, bool), np.zeros(slots, np.int32)
        self._slots = compiled.blank()
        self._budget = np.zeros(slots, np.int64)  # Calls left, as of the last look.
        self._counted = np.zeros((slots, 3), np.int64)
        self._result: Any = None
        self._steps = 0
        self.items: list[Item | None] = [None] * slots
        self.calls = 0  # of `step`, times slots

    @property
    def live(self) -> np.ndarray:
        """[S] bool, which slots hold an item."""
        return np.array([item is not None for item in self.items])

    @property
    def free(self) -> list[int]:
        """The slots without an item."""
        return [slot for slot, item in enumerate(self.items) if item is None]

    @property
    def parts(self) -> float:
        """How much of its items' budgets was used at the last look, 1 an item."""
        used = 1 - self._budget[self.live] / max(self._steps, 1)
        return float(used.sum())

    def fill(self, new: Mapping[int, Item], work: Work, steps: int) -> None:
        """Puts items into free slots."""
        if not new:
            return
        self._steps = steps
        mask = np.zeros(len(self.items), bool)
        mask[list(new)] = True
        items = [new.get(slot) for slot in range(len(self.items))]
        inputs = self._placed(work.inputs(items))
        self._slots = self.compiled.refill(
            self._attack, self._slots, self._placed(mask), inputs
        )
        for slot, item in new.items():
            self.items[slot], self._budget[slot] = item, steps

    def advance(self, chunk: int) -> int:
        """Dispatches the next steps; at most `chunk`, fewer if an item ends before.

        Returns: how many.
        """
        live = self.live
        least = int(self._budget[live].min()) - self.compiled.judges
        count = min(chunk, max(least, _LEAST_CALLS))
        self._slots = self.compiled.chunk(
            self._attack, self._logits_fn, self._slots, self._placed(live), count
        )
        self.calls += count * len(live)
        return count

    def judge(self) -> None:
        """Dispatches the last calls of items that wait for them."""
        if not self.compiled.judges:
            return
        live = self._placed(self.live)
        self._slots = self.compiled.judge(
            self._attack, self._logits_fn, self._slots, live
        )
        self.calls += len(self.items)

    def status(self) -> Status:
        """Waits for the dispatched steps."""
        snapshot = self._exchange(self._slots, *self._nowhere)
        done, left, calls, spent = jax.device_get(snapshot[:4])
        self._budget, self._result = left.astype(np.int64), snapshot.result
        counts = np.column_stack([calls, spent]).astype(np.int64)
        since, self._counted = counts - self._counted, counts
        last = (left == 1) & self.compiled.judges
        return Status(done & self.live, last & ~done & self.live, since)

    def results(self) -> AttackResult:
        """What each slot had found at the last look, NumPy arrays [S]."""
        return jax.device_get(self._result)

    def move_from(self, other: "Bank", slots: Iterable[int]) -> list[int]:
        """Takes over items of another bank, as many as there is room for.

        Returns: the other bank's slots that were not moved.
        """
        moving, free = list(slots), self.free
        count = min(len(moving), len(free))
        if count == 0:
            return moving
        mask, index = np.zeros(len(self.items), bool), np.zeros(len(self.items), "i4")
        for slot, source in zip(free, moving, strict=False):
            mask[slot], index[slot] = True, source
            self.items[slot], other.items[source] = other.items[source], None
            self._budget[slot] = other._budget[source]
        self._exchange(other._slots, mask, index)
        return moving[count:]

    def _exchange(self, others: Slots, mask: np.ndarray, index: np.ndarray) -> Snapshot:
        """Takes rows of others', which may be on another device; looks at all."""
        rows = self._placed((others, mask, index))
        self._slots, snapshot = self.compiled.exchange(self._attack, self._slots, *rows)
        return snapshot
