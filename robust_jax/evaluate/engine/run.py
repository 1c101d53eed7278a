"""Running the work items of one stage on tiles of device slots."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from robust_jax.core import checks, current, drive, factories, lift
from robust_jax.core.types import Attack, AttackResult, LogitsFn
from robust_jax.evaluate.engine.bank import Bank
from robust_jax.evaluate.engine.ledger import Ledger
from robust_jax.evaluate.engine.limit import Limit, Pace
from robust_jax.evaluate.engine.programs import Compiled, Programs, programs
from robust_jax.evaluate.engine.queue import Item, Queue
from robust_jax.evaluate.engine.work import Work


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the work lies on the devices; none of it changes a result but `tile`.

    Args:
        tile: slots of a device program. A constant of a study, not a knob: a row's last
            bits depend on the batch size of the program.
        tiles: how many are in flight; the host looks at one while the others run.
        chunk: calls of `step` between two looks of the host.
        devices: what to spread over; all of the default back end if None.
        loops: whether a chunk is one program with the loop inside; by default where
            the back end is not the CPU.
    Raises: ValueError: tile, tiles or chunk below 1, tile beyond 65,536. TypeError: no
        tuple, no flag.

    >>> rj.evaluate.Layout(tile=128, chunk=10)
    Layout(tile=128, tiles=2, chunk=10, devices=None, loops=None)
    """

    tile: int = 64
    tiles: int = 2
    chunk: int = 25
    devices: tuple[Any, ...] | None = None
    loops: bool | None = None

    def __post_init__(self) -> None:
        checks.tile(self.tile)
        for name in ("tiles", "chunk"):
            checks.positive_integer(name, getattr(self, name))
        if self.devices is not None:
            checks.sequence("devices", self.devices)
        if self.loops is not None:
            checks.flag("loops", self.loops)

    def programs(self, attack: Attack) -> list[Programs]:
        """The compiled programs of an attack in this layout, of each device.

        Those of attacks that differ in numbers are the same.
        """
        devices = jax.local_devices() if self.devices is None else self.devices
        loops = jax.default_backend() != "cpu" if self.loops is None else self.loops
        structure = jax.tree.structure(factories.as_product(attack))
        return [programs(structure, self.tile, device, loops) for device in devices]


OnEnd = Callable[[Item], None]


def run_stage(
    attack: Attack,
    logits_fn: LogitsFn,
    work: Work,
    queue: Queue,
    ledger: Ledger,
    layout: Layout,
    *,
    on_end: OnEnd = lambda item: None,
    on_look: Callable[[float], None] = lambda left: None,
    limit: Limit = Limit(),  # noqa: B008  Without an end.
) -> None:
    """Runs the queue's items to their ends, into the ledger.

    Guarantees: the same entries of wanted items for any number of tiles, chunk,
    devices and order of ends; nothing is compiled after the first item.

    Args:
        attack: the stage's.
        logits_fn: the model on one example, weights as a `Partial`.
        work: what a slot is filled with.
        queue: what to run next; empty at the end.
        ledger: of the same rows and places, items of an earlier session included.
        layout: of the slots.
        on_end: called after an item has ended and was added.
        on_look: called at each look of the host with the number of wanted items that
            are left, less the parts of them that are done.
        limit: before which the stage stops, items that run being interrupted.
    """
    if not queue.left:
        return
    *banks, room = banks_for(layout, attack, logits_fn, work)
    running = _Running(attack, work, queue, ledger, on_end, room)
    pace = Pace(limit)
    while queue.left:
        on_look(queue.left - sum(one.parts for one in banks))
        chunk, dispatched = pace.calls(layout.chunk, len(banks)), 0
        if chunk == 0:
            break
        for one in list(banks):
            running.collect(one)
            running.fill(one)
            others = [other for other in banks if other is not one]
            if _fits(one, others):
                slots = np.flatnonzero(one.live).tolist()
                for other in others:
                    slots = other.move_from(one, slots)
                running.close(one)
                banks.remove(one)
            elif one.live.any():
                dispatched += one.advance(chunk)
        pace.dispatched(dispatched)
    for one in (*banks, room):
        running.close(one)


def banks_for(
    layout: Layout, attack: Attack, logits_fn: LogitsFn, work: Work
) -> list[Bank]:
    """The tiles in flight, in turn on each device; no more than there are rows for.

    And a last one, on the first device, for items that wait for their judgement.
    """
    model, product = drive.as_partial(logits_fn), factories.as_product(attack)
    wanted = -(-len(work.attacked) // layout.tile)
    compiled = begun(layout, attack, logits_fn, work, wanted)
    owners = layout.programs(attack)
    ready = [
        (one, *owner.placed((product, model)), owner)
        for one, owner in zip(compiled, owners, strict=False)
    ]
    count = min(layout.tiles * len(ready), wanted)
    return [Bank(*ready[k % len(ready)]) for k in (*range(count), 0)]


def of_now(attack: Attack, logits_fn: LogitsFn, work: Work) -> Attack:
    """An attack whose functions of the user's are as they are now.

    Args:
        work: with any rows, for the shapes.
    """
    inputs = work.inputs([None])
    several = inputs.key_data, inputs.threat, inputs.x, inputs.goal
    data, threat, x, goal = jax.tree.map(lambda leaf: leaf[0], several)
    key = lift.keys_from(data)
    return current.attack_of_now(attack, key, logits_fn, threat, x, goal)


def begun(
    layout: Layout, attack: Attack, logits_fn: LogitsFn, work: Work, tiles: int
) -> list[Compiled]:
    """A stage's programs of each device that as many tiles need, compiled in threads.

    Args:
        work: with any rows, for the shapes.
    """
    model, product = drive.as_partial(logits_fn), factories.as_product(attack)
    inputs = work.inputs([None] * layout.tile)
    some = layout.programs(attack)[:tiles]
    return [one.begun(product, model, inputs) for one in some]


def _fits(bank: Bank, others: list[Bank]) -> bool:
    """Whether the other banks have room for a bank's items, and one of them remains."""
    room = sum(len(other.free) for other in others)
    return bool(others) and int(bank.live.sum()) <= room


class _Running:
    """The bookkeeping between the queue, the banks and the ledger."""

    def __init__(
        self,
        attack: Attack,
        work: Work,
        queue: Queue,
        ledger: Ledger,
        on_end: OnEnd,
        room: Bank,
    ) -> None:
        self._attack, self._work, self._queue = attack, work, queue
        self._ledger, self._on_end, self._room = ledger, on_end, room

    def collect(self, bank: Bank) -> None:
        """Takes what has ended out of a bank, and what nobody wants any more.

        Items whose last call is left, which needs no gradient, leave for the waiting
        room, where a whole tile is judged by one forward pass.
        """
        if not bank.live.any():
            return
        waits = self._settle(bank)
        while waits:
            waits = self._room.move_from(bank, waits)
            if not self._room.free:
                self._judge()

    def fill(self, bank: Bank) -> None:
        """Starts items in the free slots of a bank."""
        new: dict[int, Item] = {}
        for slot in bank.free:
            item = self._queue.take()
            if item is None and self._room.live.any():
                self._judge()  # What waits may be what the others wait for.
                item = self._queue.take()
            if item is None:
                break
            new[slot] = item
        bank.fill(new, self._work, self._attack.steps)

    def close(self, bank: Bank) -> None:
        """A bank's cost enters the ledger; its running items are interrupted."""
        self._count(bank, bank.status().cost)
        self._ledger.calls += bank.calls
        for item in bank.items:
            if item is not None:
                self._queue.put_back(item)

    def _judge(self) -> None:
        self._room.judge()
        self._settle(self._room)

    def _settle(self, bank: Bank) -> list[int]:
        """Settles a bank's items as a look finds them; gives the slots that wait."""
        status = bank.status()
        self._count(bank, status.cost)
        results, waits = None, []
        for slot, item in enumerate(bank.items):
            if item is None:
                continue
            if not self._queue.wanted(item):
                self._queue.drop(item)
            elif status.done[slot]:
                results = bank.results() if results is None else results
                self._end(item, slot, results)
            else:
                if status.waits[slot]:
                    waits.append(slot)
                continue
            bank.items[slot] = None
        return waits

    def _end(self, item: Item, slot: int, results: AttackResult) -> None:
        margin = float(results.margin[slot])
        cost = results.forwards[slot], results.backwards[slot]
        won = margin >= 0
        x_adv = np.array(results.x_adv[slot]) if won else None
        self._ledger.add(item, margin, cost, x_adv)
        self._queue.settle(item, won)
        self._on_end(item)

    def _count(self, bank: Bank, cost: np.ndarray) -> None:
        for slot, item in enumerate(bank.items):
            if item is None:
                self._ledger.idle += cost[slot, 1:]
            else:
                self._ledger.spent[item.row] += cost[slot, 1:]
                self._ledger.useful_calls += int(cost[slot, 0])
