"""One evaluation: a plan's stages on an engine, and what is known of each example."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from robust_jax.core import lift
from robust_jax.core.compiling import own_settings
from robust_jax.core.metrics import Proportion
from robust_jax.core.records import PathLike
from robust_jax.core.streams import OfPlan
from robust_jax.core.types import AttackResult, Towards
from robust_jax.evaluate.claims import Claims, confirm
from robust_jax.evaluate.engine import (
    Entry,
    Examples,
    Item,
    Journal,
    Layout,
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
from robust_jax.evaluate.forecast import (
    Forecast,
    OnProgress,
    Progress,
    Work as StageWork,
)
from robust_jax.evaluate.identity import identity
from robust_jax.evaluate.model import Model, fresh_right
from robust_jax.evaluate.report import StageResult
from robust_jax.evaluate.stages import History, Plan, Stage, allowed, goals_of

_HOLDS, _WRONG = -1, -2  # Winners of examples that no stage has broken.
_TELLS = 0.2  # Seconds between two words on compilation.


class Evaluation:
    """Runs a plan's stages in order and keeps what is known of each example.

    Attributes, arrays of all N examples:
        clean: bool, right without an attack.
        winner: int, the stage that broke it; -1 none, -2 wrong without an attack.
        place: int, the winner's target * restarts + restart; -1 without a winner.
        x_adv: [N, *S], the clean image without a winner.
        best_margin: float32, the largest margin that any stage has reached.
        began: `time.perf_counter()` when the first attack step was about to be taken,
            its programs ready; None if there was none.
        right_share: share of a random net's fresh answers that are right, at x_adv
            where there is a winner, at the clean image otherwise; None if not random.
    """

    def __init__(
        self,
        model: Model,
        examples: Examples,
        threat: Any,
        plan: Plan,
        seed: int,
        layout: Layout,
        retire: bool,
        limit: Limit | None = None,
    ) -> None:
        self.model, self.examples, self.threat = model, examples, threat
        self.plan, self.seed, self.layout, self._retire = plan, seed, layout, retire
        n, num_classes = examples.logits.shape
        self.clean = examples.right
        self.began: float | None = None
        self.right_share: np.ndarray | None = None
        if model.is_random:
            self.right_share = self._share(np.arange(n), examples.images)
            self.clean = self.right_share > 0.5
        self.winner = np.where(self.clean, _HOLDS, _WRONG)
        self.place = np.full(n, -1)
        self.x_adv = examples.images.copy()
        self.best_margin = examples.margin.astype(np.float32)
        self._target_margin = np.full((n, num_classes), -np.inf, np.float32)
        self._goals = [goals_of(s, examples.labels, examples.logits) for s in plan]
        self._journal: Journal | None = None
        self._kept: dict[int, list[Entry]] = {}
        self._on_progress: OnProgress | None = None
        self._forecast: Forecast | None = None
        self._told, self._pace = 0.0, 0.0  # Seconds of a tile's forward pass.
        self.limit = Limit() if limit is None else limit
        self._first_look = self.limit.reserved  # Seconds until its program is made.
        self.plan = tuple(
            dataclasses.replace(s, attack=of_now(s.attack, model.logits_fn, work))
            for s, work in zip(plan, self._works_of_one(), strict=True)
        )

    def watch(self, on_progress: OnProgress | None) -> None:
        """Calls back at every look of the host.

        Needs `forecast`, if there is something to be called.
        """
        self._on_progress = on_progress

    def keep(self, folder: PathLike) -> None:
        """Keeps finished items in a folder, and takes up those that it holds.

        Until `close` no other run may use the folder.

        Raises: ValueError: a folder of another evaluation, damaged or in use.
        """
        of = self.plan, self._works_of_one(), self.model.logits_fn, self.threat
        what = identity(*of, self.layout, seed=self.seed, retire=self._retire)
        self._journal = Journal(folder, what)
        for entry in self._journal.entries():
            self._kept.setdefault(entry.stage, []).append(entry)

    def close(self) -> None:
        """Writes what is pending; other runs may use the journal."""
        if self._journal is not None:
            try:
                self._journal.flush()
            finally:
                self._journal.close()

    def all_stages(self) -> Iterator[StageResult]:
        """Runs the stages; each result as it is known.

        Programs of later stages are compiled while the first ones run; none is begun
        any more once every example has fallen, or after the time limit.
        """
        ahead = self._begun()
        try:
            self._wait(ahead)
            for stage, programs in enumerate(ahead):
                yield self._stage(stage, programs)
                if not self._attacked().size or self.limit.is_over:
                    _cancel(ahead)
        finally:
            _cancel(ahead)

    def forecast(self, audit_share: float) -> Forecast:
        """What all will take; the programs begin to be compiled.

        Args:
            audit_share: of the plan's cost that an audit may spend; 0 without one.
        """
        model, images = self.model.logits_fn, self.examples.images
        slots, tiles = self.layout.tile, self.layout.tiles
        pace, stages = speed(model, images, slots), []
        self._pace = pace.seconds
        for k, programs in enumerate(self._begun()):
            stage, items = self.plan[k], int(self.clean.sum()) * self._places(k)
            calls = -(-items // slots) * stage.attack.steps
            is_conditional = stage.only is not None
            stages.append(StageWork(programs, calls, is_conditional, 12 * items))
        self._forecast = Forecast(pace, model, images, tiles, stages, audit_share)
        return self._forecast

    def claims(self) -> Claims:
        """An independent look at every example that a stage broke."""
        lost = np.flatnonzero(self.winner >= 0)
        images, labels = self.examples.images[lost], self.examples.labels[lost]
        threat = lift.threat_of(self.threat, self.examples.images, lost)
        x_adv, model, right = self.x_adv[lost], self.model, None
        if model.is_random:
            ids = self.examples.ids[lost]
            right = fresh_right(model, x_adv, labels, ids, self.seed, OfPlan.CLAIMS)
        looked = (model.logits_fn, threat, images, x_adv, labels)
        return confirm(*looked, right, model.samples)

    @own_settings()
    def again(self, position: int) -> AttackResult:
        """Runs the item that broke an example once more, by itself.

        Raises: ValueError: an example that no stage broke.
        """
        stage, place = int(self.winner[position]), int(self.place[position])
        if stage < 0:
            raise ValueError(f"position={position}; no stage broke this example")
        allowed = np.zeros((1, place + 1), bool)
        allowed[0, place] = True
        rows = np.array([position])
        work, queue, found = self._prepared(stage, rows, allowed)
        run_stage(self.plan[stage].attack, self.model.logits_fn, work, queue, found,
                  self.layout)  # fmt: skip
        kept = found.x_adv.get(0, (place, self.examples.images[position]))
        cost = found.forwards[0, place], found.backwards[0, place]
        distance = self.threat.distance(kept[1], self.examples.images[position])
        return AttackResult(kept[1], found.margin[0, place], distance, *cost)

    def _stage(self, number: int, programs: list[Compiled]) -> StageResult:
        start, stage = time.perf_counter(), self.plan[number]
        attacked = self._attacked()
        wanted = self._allowed(number, attacked)
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
            self._report(number, attacked, 1 - left / wanted.sum(), found)
            self.limit.reserved = self._seconds_of_claims(found)

        if queue.left and self._are_ready(programs):
            run_stage(
                stage.attack,
                self.model.logits_fn,
                work,
                queue,
                found,
                self.layout,
                on_end=on_end,
                on_look=on_look,
                limit=self.limit,
            )
        broken = self._settle(number, attacked, found)
        seconds = time.perf_counter() - start
        return _stage_result(stage, broken, attacked, found, queue, seconds)

    def _attacked(self) -> np.ndarray:
        """Positions of the examples that the next stage attacks."""
        return np.flatnonzero(self.winner == _HOLDS if self._retire else self.clean)

    def _begun(self) -> list[list[Compiled]]:
        """The programs of each stage, in the order in which they will be needed.

        Of stages that the time limit comes before, and where nothing is to be
        attacked, none.
        """
        tiles = -(-len(self._attacked()) // self.layout.tile)
        model = self.model.logits_fn
        stages: list[list[Compiled]] = []
        for stage, work in zip(self.plan, self._works_of_one(), strict=True):
            some = tiles if not self.limit.is_over else 0
            stages.append(
                begun(self.layout, stage.attack, model, work, some) if some else []
            )
        return stages

    def _wait(self, programs: list[list[Compiled]]) -> None:
        """Tells how far the first stage's compilation is, until that is over."""
        while self._on_progress is not None and programs[0] and not self.limit.is_over:
            first = [one.ahead.wait(_TELLS) for one in programs[0]]
            every = [share for stage in programs for one in stage for share in one.made]
            self._tell(0, float(np.mean(every)), "compilation", self.winner == _HOLDS)
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
        count = len(found.x_adv) + int((self.winner >= 0).sum())
        looks = 3 if self.model.is_random else 1  # A random net's verdicts twice.
        return self._first_look + looks * self._pace * count / self.layout.tile

    def _works_of_one(self) -> list[Work]:
        """The work of each stage on the first example, for its shapes."""
        one = np.arange(1), np.ones((1, 1), bool)
        return [self._prepared(k, *one)[0] for k in range(len(self.plan))]

    def _places(self, number: int) -> int:
        return len(self._goals[number]) * self.plan[number].restarts

    def _prepared(
        self, number: int, attacked: np.ndarray, allowed: np.ndarray
    ) -> tuple[Work, Queue, Ledger]:
        work = Work(
            self.examples,
            attacked,
            self._goals[number],
            self.plan[number].restarts,
            self.threat,
            self.seed,
            number,
        )
        return work, Queue(allowed), Ledger.nothing(*allowed.shape)

    def _allowed(self, number: int, attacked: np.ndarray) -> np.ndarray:
        """[N, P] bool, at which places a stage attacks each of its examples."""
        history = History(
            self.examples.logits[attacked],
            self.examples.margin[attacked],
            self.best_margin[attacked],
            self._target_margin[attacked],
        )
        return allowed(self.plan[number], self._goals[number], history, attacked)

    def _settle(self, number: int, attacked: np.ndarray, found: Ledger) -> np.ndarray:
        """What a stage found becomes known; [N] bool, what it broke."""
        self._learn(number, attacked, found)
        rows = np.array(sorted(found.x_adv), np.int64)
        positions = attacked[rows]
        if self.right_share is not None and len(rows):
            x_adv = np.stack([found.x_adv[row][1] for row in rows])
            share = self._share(positions, x_adv)
            lost = share <= 0.5
            rows, positions, share = rows[lost], positions[lost], share[lost]
            first = self.winner[positions] == _HOLDS
            self.right_share[positions[first]] = share[first]
        broken = ~self.clean
        broken[positions] = True
        if self._retire:
            broken |= self.winner >= 0
        for row, position in zip(rows, positions, strict=True):
            if self.winner[position] == _HOLDS:
                self.winner[position] = number
                self.place[position], self.x_adv[position] = found.x_adv[row]
        return broken

    def _learn(self, number: int, attacked: np.ndarray, found: Ledger) -> None:
        """The margins that the stage reached, for the rules of later stages."""
        margin = np.where(np.isnan(found.margin), -np.inf, found.margin)
        for row, (place, _) in found.x_adv.items():
            margin[row, place + 1 :] = -np.inf  # The schedule decides who of them ran.
        best = margin.max(axis=1, initial=-np.inf)
        self.best_margin[attacked] = np.maximum(self.best_margin[attacked], best)
        restarts = self.plan[number].restarts
        for k, goal in enumerate(self._goals[number]):
            if isinstance(goal, Towards):
                own = margin[:, k * restarts : (k + 1) * restarts].max(axis=1)
                at = attacked, np.asarray(goal.target)[attacked]
                self._target_margin[at] = np.maximum(self._target_margin[at], own)

    def _share(self, positions: np.ndarray, images: np.ndarray) -> np.ndarray:
        labels, ids = self.examples.labels[positions], self.examples.ids[positions]
        right = fresh_right(self.model, images, labels, ids, self.seed, OfPlan.VERDICT)
        return right / self.model.samples

    def _report(
        self, number: int, attacked: np.ndarray, share: float, found: Ledger
    ) -> None:
        holds = self.winner == _HOLDS
        if not self.model.is_random:
            holds[attacked[list(found.x_adv)]] = False
        self._tell(number + 1, share, self.plan[number].name, holds)

    def tell_audit(self, share: float) -> None:
        """Tells how far the audit is."""
        self._tell(-1, share, "audit", self.winner == _HOLDS)

    def _tell(self, part: int, within: float, stage: str, holds: np.ndarray) -> None:
        if self._on_progress is None or self._forecast is None:
            return
        self._told = max(self._told, self._forecast.share(part, within))
        robust = Proportion(int(holds.sum()), len(holds))
        self._on_progress(Progress(self._told, robust, stage))


def _cancel(programs: list[list[Compiled]]) -> None:
    for stage in programs:
        for one in stage:
            one.ahead.cancel()


def _stage_result(
    stage: Stage,
    broken: np.ndarray,
    attacked: np.ndarray,
    found: Ledger,
    queue: Queue,
    seconds: float,
) -> StageResult:
    useful, spent = (np.zeros((len(broken), 2), np.int64) for _ in range(2))
    useful[attacked], spent[attacked] = found.useful(), found.spent
    return StageResult(
        name=stage.name,
        broken=broken,
        forwards=useful[:, 0],
        backwards=useful[:, 1],
        spent_forwards=spent[:, 0],
        spent_backwards=spent[:, 1],
        idle=(int(found.idle[0]), int(found.idle[1])),
        occupancy=found.useful_calls / found.calls if found.calls else 1.0,
        unfinished=queue.left,
        seconds=seconds,
    )
