"""What the work items of one stage found, and what they cost."""

import dataclasses
from typing import Any

import numpy as np

from robust_jax.evaluate.engine.journal import Entry
from robust_jax.evaluate.engine.queue import Item


@dataclasses.dataclass
class Ledger:
    """What the items of one stage found and cost; rows are the attacked examples."""

    margin: np.ndarray  # [N, P] float32, NaN where no item has ended
    forwards: np.ndarray  # [N, P] int32, of items that ended
    backwards: np.ndarray  # [N, P] int32
    spent: np.ndarray  # [N, 2] int64, cancelled items and frozen steps too
    x_adv: dict[int, tuple[int, np.ndarray]]  # row: (place, example), earliest success
    idle: np.ndarray  # [2] int64, forwards and backwards in slots without an item
    calls: int = 0  # of `step`, times slots
    useful_calls: int = 0  # of these, those that moved an item

    @classmethod
    def nothing(cls, rows: int, places: int) -> "Ledger":
        """Before any item has ended."""
        return cls(
            np.full((rows, places), np.nan, np.float32),
            np.zeros((rows, places), np.int32),
            np.zeros((rows, places), np.int32),
            np.zeros((rows, 2), np.int64),
            {},
            np.zeros(2, np.int64),
        )

    def add(self, item: Item, margin: float, cost: Any, x_adv: Any) -> None:
        """An item has ended; `x_adv` is its example if it succeeded, else None."""
        self.margin[item] = margin
        self.forwards[item], self.backwards[item] = cost
        if x_adv is None:
            return
        if item.row not in self.x_adv or item.place < self.x_adv[item.row][0]:
            self.x_adv[item.row] = (item.place, x_adv)

    def entry(self, item: Item, stage: int, position: int) -> Entry:
        """What the journal keeps of an item that has ended."""
        place, x_adv = self.x_adv.get(item.row, (None, None))
        return Entry(
            stage,
            position,
            item.place,
            float(self.margin[item]),
            int(self.forwards[item]),
            int(self.backwards[item]),
            x_adv if place == item.place else None,
        )

    def useful(self) -> np.ndarray:
        """[N, 2] int64: the cost of an example's items up to its winner, whatever ran.

        Independent of the schedule: an item that was run ahead of a success that makes
        it void is not among them.
        """
        rows, places = self.margin.shape
        last = np.full(rows, places)
        for row, (place, _) in self.x_adv.items():
            last[row] = place
        counts = np.arange(places) <= last[:, None]
        pair = (self.forwards * counts, self.backwards * counts)
        return np.stack([side.sum(axis=1, dtype=np.int64) for side in pair], axis=1)
