"""What an evaluation will take, and how far it is (host)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from robust_jax.core.metrics import Proportion
from robust_jax.core.types import LogitsFn
from robust_jax.evaluate.engine.ahead import cores
from robust_jax.evaluate.engine.estimate import SECONDS, Estimate, Speed, compilation
from robust_jax.evaluate.engine.programs import Compiled

# Shares of the examples, guesses: that a later stage attacks, and one with a rule.
_LATER, _CONDITIONAL = 0.7, 0.2
_AUDIT_EQUATIONS = 6_000  # Of the programs of all checks; see `engine.estimate`.


class Progress(NamedTuple):
    """How far an evaluation is, at a look of the host.

    >>> told, plan = [], (rj.evaluate.Stage("fgsm", rj.attacks.fgsm()),)
    >>> given = net, images, labels, rj.threats.Linf(0.25)
    >>> _ = rj.evaluate.robustness(
    ...     *given, plan=plan, audit=False, on_progress=told.append
    ... )
    >>> told[-1].stage
    'fgsm'
    """

    share: float  # of the time that it is expected to take, in [0, 1]; never less
    robust: Proportion  # so far: an upper bound
    stage: str  # or "compilation", "audit"


OnProgress = Callable[[Progress], None]


class Work(NamedTuple):
    """What is known of a stage before it begins."""

    programs: Sequence[Compiled]  # of each device that it needs; none: it does not run
    calls: int  # of `step`, of all items over the slots of a tile
    is_conditional: bool  # a rule chooses the examples
    result_bytes: int


class Forecast:
    """The parts of an evaluation with the seconds that each is expected to take.

    Args:
        pace: of a forward pass; to be taken before programs are compiled beside it.
        logits_fn: the model on one example, for its weights.
        images: [N, *S].
        tiles: in flight on a device.
        stages: in their order.
        audit_share: of the attacks' cost that the audit may spend; 0 without an audit.
        on_progress: who is told how far it is.
    """

    def __init__(
        self,
        pace: Speed,
        logits_fn: LogitsFn,
        images: np.ndarray,
        tiles: int,
        stages: Sequence[Work],
        audit_share: float,
        on_progress: OnProgress | None,
    ) -> None:
        self.seconds_of_tile, self._told = pace.seconds, 0.0
        self._on_progress = on_progress
        attacks = [
            pace.call(stage.programs[0].sketches["step"])
            * stage.calls
            * (1.0 if k == 0 else _CONDITIONAL if stage.is_conditional else _LATER)
            / len(stage.programs)
            if stage.programs
            else 0.0
            for k, stage in enumerate(stages)
        ]
        programs = [one for stage in stages for one in stage.programs]
        compiling = compilation(programs)
        audit = audit_share * sum(attacks)
        if audit_share:
            audit += _AUDIT_EQUATIONS * SECONDS / cores()
        weights = sum(leaf.nbytes for leaf in jax.tree.leaves(logits_fn))
        slots = max((one.slot_bytes for one in programs), default=0)
        self.estimate = Estimate(
            compiling,
            sum(attacks),
            audit,
            weights + (tiles + 1) * slots,
            2 * images.nbytes + sum(stage.result_bytes for stage in stages),
        )
        self._parts = [compiling, *attacks, audit]

    def share(self, part: int, within: float) -> float:
        """How much of the whole is over, within part 0 (compilation), 1 (the first
        stage), ..., -1 (the audit)."""
        number = part % len(self._parts)
        over = sum(self._parts[:number]) + within * self._parts[number]
        return min(over / max(sum(self._parts), 1e-9), 1.0)

    def tell(self, part: int, within: float, stage: str, holds: np.ndarray) -> None:
        """Says how far it is, see `share`, and of which examples nothing is found."""
        if self._on_progress is not None:
            self._told = max(self._told, self.share(part, within))
            robust = Proportion(int(holds.sum()), len(holds))
            self._on_progress(Progress(self._told, robust, stage))
