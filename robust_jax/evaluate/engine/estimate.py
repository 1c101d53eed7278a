"""How long a plan will take, and what it needs, before it begins."""

import time
from typing import NamedTuple

from robust_jax.core.types import Attack, LogitsFn
from robust_jax.evaluate.engine.queue import Item
from robust_jax.evaluate.engine.run import Layout, banks_for
from robust_jax.evaluate.engine.work import Work

_CALLS = 5  # Timed; as many before, of which the first may still allocate.


class Estimate(NamedTuple):
    """What an evaluation will take if every example holds: less, where some fall."""

    seconds: float
    device_bytes: int  # the largest stage's, per device, weights included
    host_bytes: int  # images, results and ledgers

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.seconds), 60)
        return (
            f"at most about {minutes} min {seconds:02d} s, "
            f"{self.device_bytes / 2**20:,.0f} MiB on each device, "
            f"{self.host_bytes / 2**20:,.0f} MiB of examples and results on the host"
        )


def measured(
    attack: Attack, logits_fn: LogitsFn, work: Work, layout: Layout
) -> tuple[float, int]:
    """Seconds of one call of `step` per slot, and bytes on each device.

    Compiles the stage's programs, which the stage then finds ready, and times a few
    calls on all tiles in flight.
    """
    *banks, room = banks_for(layout, attack, logits_fn, work)
    for bank in banks:
        slots = min(layout.tile, len(work.attacked))
        bank.fill({s: Item(s, 0) for s in range(slots)}, work, attack.steps)
    for _ in range(2):
        start = time.perf_counter()
        for bank in banks:
            bank.advance(_CALLS)
        for bank in banks:
            bank.look()
        seconds = time.perf_counter() - start
    calls = sum(bank.calls for bank in banks) / 2
    devices = len({id(bank.compiled) for bank in banks})
    tiles = -(-len(banks) // devices) + 1  # And the room.
    return seconds / calls, tiles * room.compiled.device_bytes
