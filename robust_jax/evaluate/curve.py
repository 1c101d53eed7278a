"""Robust accuracy against the radius: one attack, many radii, one compiled program."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from robust_jax.core import array_checks, boxes, checks, facts, lift, records
from robust_jax.core.brief import brief
from robust_jax.core.compiling import own_settings
from robust_jax.core.metrics import Proportion
from robust_jax.core.types import Attack, LogitsFn, Threat, Untargeted
from robust_jax.evaluate.bars import nobody, told
from robust_jax.evaluate.batch import named, run_on
from robust_jax.evaluate.examples import checked
from robust_jax.report import markup


@dataclasses.dataclass(frozen=True)
class Curve:
    """Robust accuracy at each radius under one attack.

    `broken[r, i]`: example i is wrong without attack or was broken at radius r.

    >>> broken = np.array([[False, False], [True, False]])
    >>> found = rj.evaluate.Curve("linf", np.array([0.0, 0.1]), broken, 6, 2)
    >>> found.to_series()["accuracy"]
    [1.0, 0.5]
    """

    norm: str
    radii: np.ndarray  # [R] float64, in the norm's units
    broken: np.ndarray  # [R, N] bool
    forwards: int
    backwards: int
    attack: str = "attack"
    seed: int | None = None
    seconds: float = 0.0

    __repr__ = brief

    def rows(self) -> list[dict[str, Any]]:
        """The cells of a table, a radius each."""
        points = zip(self.radii, self.accuracies, strict=True)
        n = self.broken.shape[1]
        common = {"attack": self.attack, "norm": self.norm, "n": n}
        return [{**common, "eps": float(r), "accuracy": p} for r, p in points]

    def to_record(self) -> records.Record:
        """The record of it, for tables and figures."""
        least = min(self.accuracies, key=lambda p: p.value)
        return records.Record(
            schema=records.SCHEMA,
            experiment="curve",
            title=f"{self.attack} against the radius",
            summary=f"Lowest robust accuracy: {least}.",
            command="called from Python: robust_jax.evaluate.curve, see the flags",
            flags={"attack": self.attack, "norm": self.norm, "seed": self.seed},
            environment=records.environment(),
            rows=self.rows(),
            series={"curve": self.to_series()},
            notes=[f"{self.forwards:,} forwards, {self.backwards:,} backwards."],
            figures=[],
            seconds=self.seconds,
        )

    def _repr_html_(self) -> str:
        cost = f"{self.forwards:,} forwards, {self.backwards:,} backwards"
        return markup.notebook(
            f"Robust accuracy under {self.norm} of {self.broken.shape[1]} examples",
            self.rows(),
            lines=[cost],
        )

    @property
    def accuracies(self) -> list[Proportion]:
        """Robust accuracy at each radius."""
        return [Proportion(int((~row).sum()), len(row)) for row in self.broken]

    def to_series(self) -> dict[str, list[float]]:
        """The curve as the figures take it: eps, accuracy, low, high."""
        points = self.accuracies
        return {
            "eps": [float(r) for r in self.radii],
            "accuracy": [p.value for p in points],
            "low": [p.interval[0] for p in points],
            "high": [p.interval[1] for p in points],
        }


@own_settings()
def curve(
    model: LogitsFn,
    images: Any,
    labels: Any,
    threat: Threat,
    radii: Sequence[float] | np.ndarray,
    attack: Attack | str,
    *,
    ids: Any = None,
    seed: int = 0,
    tile: int = lift.TILE,
    on_items: Callable[[int], None] = nobody,
    progress: bool | None = None,
    unvouched: bool = False,
) -> Curve:
    """Attacks every example at every radius; the radius is data of the one program.

    Guarantees: an example draws the same random numbers at each radius; the result
    does not depend on order, subset or batch.
    Edge cases: radius 0 gives the clean accuracy; an example that the model gets
    wrong is broken at every radius and not attacked.

    Args:
        model, images, labels, ids, seed, tile: as in `robustness`.
        threat: its norm and box count, its eps does not.
        radii: in the norm's units, finite and >= 0.
        attack: a fixed-budget attack, or a name of `attacks.list()`.
        on_items: called with the number of finished pairs (radius, example).
        progress: whether a bar shows how far it is, if there is no `on_items`; by
            default on a terminal.
        unvouched: whether to run it under a threat that nobody vouches for.
    Raises: ValueError: bad images, labels, radii or model, in one sentence.

    >>> given = net, images, labels, rj.threats.Linf(0.0)
    >>> found = rj.evaluate.curve(*given, [0.0, 0.2, 0.4], rj.attacks.fgsm())
    >>> [accuracy.value for accuracy in found.accuracies]
    [1.0, 0.333, 0.0]
    """
    values = array_checks.numbers_of("radii", radii, "a list of at least one radius")
    if values.ndim != 1 or values.size == 0:
        raise ValueError(
            f"radii={checks.shown(radii)}; expected a list of at least one radius"
        )
    boxes.check_kind(threat)
    name = attack if isinstance(attack, str) else checks.shown(attack)
    attack = named(attack, unvouched)
    facts.check_use(attack, threat)
    checks.function("on_items", on_items)
    checks.optional_flag("progress", progress)
    array_checks.eps(threat.name, values, most=np.inf)
    largest = threat.replace(eps=values.max())
    net, examples, threat = checked(model, images, labels, largest, ids, seed, tile)
    right = np.flatnonzero(examples.right)
    broken = np.ones((len(values), len(examples.labels)), bool)
    item = np.tile(right, len(values))
    eps = np.repeat(values, len(right)).astype(np.float32)
    every = lift.threat_of(threat, examples.images, item).replace(eps=eps)
    goal = Untargeted(examples.labels[item])
    given = examples.ids[item], net.logits_fn, every, examples.images[item], goal
    cost, start = (0, 0), time.perf_counter()
    with told(on_items, broken.size, ("curve", "pair"), progress) as tell:
        tell(broken.size - len(item))
        if len(right):
            result = run_on(attack, *given, seed=seed, tile=tile, on_tile=tell)
            broken[:, right] = (result.margin >= 0).reshape(len(values), -1)
            cost = int(result.forwards.sum()), int(result.backwards.sum())
    seconds = time.perf_counter() - start
    return Curve(threat.name, values, broken, *cost, name, seed, seconds)
