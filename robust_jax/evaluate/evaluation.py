"""One evaluation: a plan's stages on an engine, and what is known of each example."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from robust_jax.core import facts, lift
from robust_jax.core.compiling import own_settings
from robust_jax.core.records import PathLike
from robust_jax.core.types import AttackResult
from robust_jax.evaluate.engine import (
    Entry,
    Item,
    Journal,
    Ledger,
    Limit,
    Queue,
    Work,
    begun,
    of_now,
    run_stage,
)
from robust_jax.evaluate.engine.estimate import speed
from robust_jax.evaluate.engine.programs import Compiled
from robust_jax.evaluate.forecast import Forecast, Work as StageWork
from robust_jax.evaluate.identity import identity
from robust_jax.evaluate.known import Judged, Known, stage_result
from robust_jax.evaluate.results import HOLDS, StageResult, Verdicts

_TELLS = 0.2  # Seconds between two words on compilation.


class Evaluation:
    """Runs a plan's stages in order and keeps what is known of each example.

    A context, in which no other run may use the journal.

    Args:
        of: what is judged.
        limit: counts from the user's call; what is reserved of it is what the clean
            images took to be asked.

    Attributes:
        found: what is known so far; its arrays are written to as stages end.
        began: `time.perf_counter()` when the first attack step was about to be taken,
            its programs ready; None if there was none.
    Raises: ValueError: a journal of another evaluation, damaged or in use.
    """

    def __init__(self, of: Judged, limit: Limit) -> None:
        self.model, self.examples, self.threat, self.plan, _, self.options = of
        self.limit, self._known = limit, Known(of)
        self.found = self._known.found
        self.began: float | None = None
        self._forecast: Forecast | None = None
        self._first_look = limit.reserved  # Seconds until its program is made.
        self.plan = tuple(
            dataclasses.replace(s, attack=of_now(s.attack, of.model.logits_fn, work))
            for s, work in zip(of.plan, self._works_of_one(), strict=True)
        )
        self._journal: Journal | None = None
        self._kept: dict[int, list[Entry]] = {}
        self._sittings: list[dict[int, float]] = []
        if self.options.journal is not None:
            self._keep(self.options.journal)

    def __enter__(self) -> "Evaluation":
        return self

    def __exit__(self, *error: object) -> None:
        """Writes what is pending; other runs may use the journal."""
        if self._journal is not None:
            try:
                self._journal.flush()
            finally:
                self._journal.close()

    def run(self, audit_share: float) -> Verdicts:
        """All that the plan finds, looked at again.

        Args:
            audit_share: of the plan's cost that an audit may spend; 0 without one.
        """
        tells = self.options.on_estimate, self.options.on_progress, self.limit.minutes
        if any(one is not None for one in tells):  # A limit needs to know the pace.
            self._forecast = self._foreseen(audit_share)
            if self.options.on_estimate is not None:
                self.options.on_estimate(self._forecast.estimate)
        stages, claims = tuple(self._stages()), self._known.claims()
        of_all: dict[str, Any] = {"stages": stages, "claims": claims}
        of_all["earlier"] = tuple(sum(taken.values()) for taken in self._sittings)
        self.found = dataclasses.replace(self.found, **of_all)
        if not self.found.unfinished:  # Stages that nothing was left for are over.
            self._tell(len(self.plan), 1.0, self.plan[-1].name)
        return self.found

    def _keep(self, folder: PathLike) -> None:
        """Keeps finished items in a folder, and takes up those that it holds."""
        of = self.plan, self._works_of_one(), self.model.logits_fn, self.threat
        how: dict[str, Any] = {"seed": self.found.seed, "retire": self.options.retire}
        self._journal = Journal(folder, identity(*of, self.options.layout, **how))
        self._sittings = self._journal.sittings()
        for entry in self._journal.entries():
            self._kept.setdefault(entry.stage, []).append(entry)

    def _stages(self) -> Iterator[StageResult]:
        """Runs the stages; each result as it is known.

        Programs of later stages are compiled while the first ones run; none is begun
        any more once every example has fallen, or after the time limit.
        """
        ahead = self._begun()
        try:
            self._wait(ahead)
            for stage, programs in enumerate(ahead):
                yield self._stage(stage, programs)
                if not self._known.attacked().size or self.limit.is_over:
                    _cancel(ahead)
        finally:
            _cancel(ahead)

    def _foreseen(self, audit_share: float) -> Forecast:
        """What all will take; the programs begin to be compiled."""
        model, images = self.model.logits_fn, self.examples.images
        layout, on_progress = self.options.layout, self.options.on_progress
        pace, stages = speed(model, images, layout.tile), []
        for k, programs in enumerate(self._begun()):
            stage = self.plan[k]
            places = len(self._known.goals[k]) * stage.restarts
            items = int(self.found.clean.sum()) * places
            calls = -(-items // layout.tile) * stage.attack.steps
            is_conditional = stage.only is not None
            stages.append(StageWork(programs, calls, is_conditional, 12 * items))
        of = pace, model, images, layout.tiles, stages, audit_share
        return Forecast(*of, on_progress)

    @own_settings()
    def again(self, position: int) -> AttackResult:
        """Runs the item that broke an example once more, by itself.

        Raises: ValueError: an example that no stage broke.
        """
        found = self.found
        stage, place = int(found.winner[position]), int(found.place[position])
        if stage < 0:
            raise ValueError(f"position={position}; no stage broke this example")
        allowed = np.zeros((1, place + 1), bool)
        allowed[0, place] = True
        rows = np.array([position])
        work, queue, made = self._prepared(stage, rows, allowed)
        run_stage(self.plan[stage].attack, self.model.logits_fn, work, queue, made,
                  self.options.layout)  # fmt: skip
        kept = made.x_adv.get(0, (place, self.examples.images[position]))
        cost = made.forwards[0, place], made.backwards[0, place]
        threat = lift.threat_of(self.threat, self.examples.images, np.asarray(position))
        distance = threat.distance(kept[1], self.examples.images[position])
        x_adv = self.model.outward(kept[1], 0)
        return AttackResult(x_adv, made.margin[0, place], distance, *cost)

    def _stage(self, number: int, programs: list[Compiled]) -> StageResult:
        start, stage = time.perf_counter(), self.plan[number]
        self._time(number)
        attacked = self._known.attacked()
        wanted = self._known.allowed(number, attacked)
        work, queue, found = self._prepared(number, attacked, wanted)
        row_of = {int(position): row for row, position in enumerate(attacked)}
        for entry in self._kept.get(number, ()):
            row = row_of.get(entry.position)
            if row is None or not wanted[row, entry.place]:
                continue  # Of another rule `only`: it says nothing of other items.
            item, cost = Item(row, entry.place), (entry.forwards, entry.backwards)
            found.add(item, entry.margin, cost, entry.x_adv)
            queue.settle(item, entry.x_adv is not None)

        def on_end(item: Item) -> None:
            if self._journal is not None:
                self._journal.add(found.entry(item, number, int(attacked[item.row])))

        def on_look(left: float) -> None:
            self.began = self.began or time.perf_counter()
            taken = () if self.model.is_random else attacked[list(found.x_adv)]
            self._tell(number + 1, 1 - left / wanted.sum(), stage.name, taken)
            self.limit.reserved = self._seconds_of_claims(found)

        if queue.left and self._are_ready(programs):
            of = stage.attack, self.model.logits_fn, work, queue, found
            run_stage(*of, self.options.layout, on_end=on_end, on_look=on_look,
                      limit=self.limit)  # fmt: skip
        broken = self._known.settle(number, attacked, found)
        self._time(None)
        seconds = sum(sitting.get(number, 0.0) for sitting in self._sittings)
        seconds += time.perf_counter() - start
        name = facts.noted(stage.name, stage.attack, self.threat)
        return stage_result(name, broken, attacked, found, queue, seconds)

    def _time(self, stage: int | None) -> None:
        if self._journal is not None:
            self._journal.at(stage)

    def _begun(self) -> list[list[Compiled]]:
        """The programs of each stage, in the order in which they will be needed.

        Of stages that the time limit comes before, and where nothing is to be
        attacked, none.
        """
        layout, model = self.options.layout, self.model.logits_fn
        tiles = -(-len(self._known.attacked()) // layout.tile)
        return [
            begun(layout, stage.attack, model, work, tiles)
            if tiles and not self.limit.is_over
            else []
            for stage, work in zip(self.plan, self._works_of_one(), strict=True)
        ]

    def _wait(self, programs: list[list[Compiled]]) -> None:
        """Tells how far the first stage's compilation is, until that is over."""
        is_told = self.options.on_progress is not None
        while is_told and programs[0] and not self.limit.is_over:
            first = [one.ahead.wait(_TELLS) for one in programs[0]]
            every = [share for stage in programs for one in stage for share in one.made]
            self._tell(0, float(np.mean(every)), "compilation")
            if all(first):
                return

    def _are_ready(self, programs: list[Compiled]) -> bool:
        """Whether a stage may begin: with a limit, if its programs are compiled before.

        A program that is being compiled cannot be stopped, but nobody waits for it.
        """
        if self.limit.minutes is None:
            return True
        ready = [one.ahead.wait(self.limit.left) for one in programs]
        return bool(ready) and all(ready) and not self.limit.is_over

    def _seconds_of_claims(self, found: Ledger) -> float:
        """What a last look at all that was found so far will take, its program too."""
        count = len(found.x_adv) + int((self.found.winner >= 0).sum())
        looks = 3 if self.model.is_random else 1  # A random net's verdicts twice.
        pace = 0.0 if self._forecast is None else self._forecast.seconds_of_tile
        return self._first_look + looks * pace * count / self.found.tile

    def _works_of_one(self) -> list[Work]:
        """The work of each stage on the first example, for its shapes."""
        one = np.arange(1), np.ones((1, 1), bool)
        return [self._prepared(k, *one)[0] for k in range(len(self.plan))]

    def _prepared(
        self, number: int, attacked: np.ndarray, allowed: np.ndarray
    ) -> tuple[Work, Queue, Ledger]:
        goals, restarts = self._known.goals[number], self.plan[number].restarts
        of = self.examples, attacked, goals, restarts, self.threat
        work = Work(*of, self.found.seed, number)
        return work, Queue(allowed), Ledger.nothing(*allowed.shape)

    def tell_audit(self, share: float) -> None:
        """Tells how far the audit is."""
        self._tell(-1, share, "audit")

    def _tell(self, part: int, within: float, stage: str, taken: Any = ()) -> None:
        holds = self.found.winner == HOLDS
        holds[list(taken)] = False
        if self._forecast is not None:
            self._forecast.tell(part, within, stage, holds)


def _cancel(programs: list[list[Compiled]]) -> None:
    for stage in programs:
        for one in stage:
            one.ahead.cancel()
