"""How long a plan will take, and what it needs, before it begins."""

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from robust_jax.core import drive
from robust_jax.core.flops import Sketch
from robust_jax.core.types import LogitsFn
from robust_jax.evaluate.claims import predict
from robust_jax.evaluate.engine.ahead import cores
from robust_jax.evaluate.engine.programs import Compiled

# Of one core of 2026, on the programs of `swift`; an estimate, not a bound.
SECONDS, _LOADED = 1.5e-3, 2e-4  # To compile or load an equation.
_EQUATION, _ENTRY = 2.5e-7, 5e-12  # Seconds of a call's equation, of each number.
_LOOKS, _LONG = 3, 0.2  # Forward passes that are timed, unless one takes so long.


class Estimate(NamedTuple):
    """What an evaluation will take if a usual share of the examples holds."""

    compilation: float  # seconds, of what is not compiled or kept on disk already
    attacks: float  # seconds
    audit: float  # seconds, its compilation included
    device_bytes: int  # weights, slots and the model's values, per device
    host_bytes: int  # images, results and ledgers

    @property
    def seconds(self) -> float:
        """All together."""
        return self.compilation + self.attacks + self.audit

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.seconds), 60)
        return (
            f"about {minutes} min {seconds:02d} s: compilation {self.compilation:.0f} "
            f"s, attacks {self.attacks:.0f} s, audit {self.audit:.0f} s; "
            f"{self.device_bytes / 2**20:,.0f} MiB on each device, "
            f"{self.host_bytes / 2**20:,.0f} MiB of examples and results on the host"
        )


class Speed(NamedTuple):
    """How fast this machine asks a model."""

    seconds: float  # of a forward pass of one tile
    flops: float  # of such a pass
    numbers: int  # in the images of a tile

    def call(self, step: Sketch) -> float:
        """Seconds of one call of a step on a tile."""
        own = step.equations * (_EQUATION + _ENTRY * self.numbers)
        ratio = step.flops / self.flops if self.flops else math.nan
        return own + self.seconds * (2.0 if math.isnan(ratio) else ratio)


def speed(logits_fn: LogitsFn, images: np.ndarray, tile: int) -> Speed:
    """Times forward passes of a tile; compiles what the clean logits needed anyway."""
    some = images[np.arange(tile) % len(images)]
    times = []
    for _ in range(_LOOKS):
        start = time.perf_counter()
        predict(logits_fn, some, tile)
        times.append(time.perf_counter() - start)
        if times[-1] > _LONG:
            break
    batch = jax.vmap(drive.as_partial(logits_fn))
    flops = Sketch.of(jax.make_jaxpr(batch)(some).jaxpr).flops
    return Speed(min(times), flops, some.size)


def compilation(programs: Sequence[Compiled]) -> float:
    """Seconds until all of some programs are compiled, by as many threads as cores."""
    total = sum(
        sketch.equations * (_LOADED if sketch.kept else SECONDS)
        for one in dict.fromkeys(programs)
        for name, sketch in one.sketches.items()
        if not one.ahead.is_made(name)
    )
    return total / cores()
