"""What an audit looks at, and the means that its checks share."""

import dataclasses
import functools
import math
import operator
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import jax
import numpy as np

from robust_jax.core import compiling, drive, lift
from robust_jax.core.streams import OfPlan
from robust_jax.core.types import Attack, AttackResult, LogitsFn, Threat, Untargeted
from robust_jax.evaluate.audit import drivers
from robust_jax.evaluate.batch import run_on
from robust_jax.evaluate.claims import Claims, mapped, predict
from robust_jax.evaluate.engine import Examples
from robust_jax.evaluate.results import StageResult, Verdicts
from robust_jax.evaluate.stages import Plan

_T = TypeVar("_T")


class LateError(Exception):
    """A time limit came before the end of a check."""


class _Of(Generic[_T]):
    """A field of one of a subject's objects."""

    def __init__(self, path: str) -> None:
        self._get = operator.attrgetter(path)

    def __get__(self, subject: Any, kind: Any = None) -> _T:
        return cast(_T, self._get(subject))


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model and an evaluation of it, as an audit is given them."""

    model: LogitsFn  # of one example
    threat: Threat
    examples: Examples
    found: Verdicts
    batch_model: Callable[..., Any] | None = None  # [B, *S] -> [B, K], if given as such
    surrogate: LogitsFn | None = None  # a plain net for transfer, of one example
    certified: np.ndarray | None = None  # [N] bool, proved robust
    plan: Plan = ()  # what the stages are made of, one for each of `stages`

    images = _Of[np.ndarray]("examples.images")  # [N, *S]
    labels = _Of[np.ndarray]("examples.labels")  # [N]
    ids = _Of[np.ndarray]("examples.ids")  # [N] uint64
    logits = _Of[np.ndarray]("examples.logits")  # [N, K], clean
    clean = _Of[np.ndarray]("found.clean")  # and so on: see `Verdicts`
    stages = _Of[tuple[StageResult, ...]]("found.stages")
    x_adv = _Of[np.ndarray]("found.x_adv")
    winner = _Of[np.ndarray]("found.winner")
    claims = _Of[Claims]("found.claims")
    seed = _Of[int]("found.seed")
    tile = _Of[int]("found.tile")
    samples = _Of[int]("found.samples")

    @property
    def robust(self) -> np.ndarray:
        """[N] bool, what the plan left unbroken."""
        return self.winner == -1

    @property
    def cost(self) -> int:
        """Of the plan, in forward-equivalents, the clean answers among them."""
        calls = (np.sum(s.forwards) + 2 * np.sum(s.backwards) for s in self.stages)
        return len(self.clean) + int(sum(calls))

    @functools.cached_property
    def no_gradient(self) -> str | None:
        """Why the model cannot be differentiated, as on the host; None where it can."""
        return why_no_gradient(self.model, self.images[0])


class Bench:
    """A seeded subset of the examples that the model gets right, and counted means.

    Whatever a check asks of the model goes through here, so that the audit's cost is a
    sum, and so that two checks that need the same run share it.

    Args:
        subject: the evaluation.
        points: size of the subset, fewer if there are fewer right examples. It depends
            on the ids alone, not on the order of the examples.
        seconds_left: before a time limit, after which `count` raises LateError.
        inner: a bench of fewer points of the subject, whose attacks are not run again.
    """

    def __init__(
        self,
        subject: Subject,
        points: int = 128,
        seconds_left: Callable[[], float] = lambda: math.inf,
        inner: "Bench | None" = None,
    ) -> None:
        self.subject, self._seconds_left = subject, seconds_left
        self._inner = inner
        right = np.flatnonzero(subject.clean)
        by_id = right[np.argsort(subject.ids[right], kind="stable")]
        self.index = by_id[:points]  # Ids are hashes: the smallest are a random draw.
        self.images = subject.images[self.index]
        self.labels = subject.labels[self.index]
        self.robust = subject.robust[self.index]
        self.forwards = self.backwards = 0
        self._runs: dict[Any, AttackResult] = {}
        self._kept: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.index)

    @property
    def threat(self) -> Any:
        """The threat of the subset."""
        return lift.threat_of(self.subject.threat, self.subject.images, self.index)

    def logits(self, images: np.ndarray, tile: int | None = None) -> np.ndarray:
        """The model's answers, [M, K]; counted."""
        self.count(len(images) * self.subject.samples)
        return predict(self.subject.model, images, tile or self.subject.tile)

    def attack(
        self, attack: Attack, *, eps: float | None = None, restart: int = 0
    ) -> AttackResult:
        """The subset under an attack, NumPy arrays [M]; equal calls share one run.

        Args:
            attack: any attack of the library.
            eps: another radius than the threat's, pixel units.
            restart: which random start.
        """
        name = (attack, eps, restart)
        if name not in self._runs:
            if self._inner is None:
                result = self._attacked(attack, slice(None), eps, restart)
            else:  # Its points are the first of these.
                known = self._inner.attack(attack, eps=eps, restart=restart)
                others = slice(len(self._inner), None)
                rest = self._attacked(attack, others, eps, restart)
                result = jax.tree.map(lambda *part: np.concatenate(part), known, rest)
            self._runs[name] = result
        return self._runs[name]

    def _attacked(
        self, attack: Attack, rows: slice, eps: float | None, restart: int
    ) -> AttackResult:
        subject, index = self.subject, self.index[rows]
        threat = lift.threat_of(subject.threat, subject.images, index)
        threat = threat if eps is None else threat.replace(eps=eps)
        result = run_on(
            attack, subject.ids[index], subject.model, threat, self.images[rows],
            Untargeted(self.labels[rows]), seed=subject.seed, stage=OfPlan.AUDIT,
            restart=restart, tile=subject.tile, driver=drivers.auto,
        )  # fmt: skip
        spent = int(result.forwards.sum()), int(result.backwards.sum())
        self.count(*(subject.samples * calls for calls in spent))
        return jax.tree.map(np.asarray, result)

    def accuracy(self, result: AttackResult) -> float:
        """Share of the subset that a run left unbroken."""
        return float(np.mean(np.asarray(result.margin) < 0)) if len(self) else 1.0

    @functools.cached_property
    def keys(self) -> Any:
        """One key per example of the subset, for draws of the checks' own."""
        return self.keys_of(self.index)

    def keys_of(self, rows: np.ndarray) -> Any:
        """As `keys`, of any examples of the subject."""
        ids = self.subject.ids[rows]
        return lift.item_keys(self.subject.seed, ids, stage=OfPlan.AUDIT, target=1)

    @functools.cached_property
    def key_data(self) -> np.ndarray:
        """The data of `keys`, [M, 2]: rows for `map`, which are picked on the host."""
        return np.asarray(jax.random.key_data(self.keys))

    def map(
        self,
        function: Callable[..., Any],
        *rows: Any,
        forwards: int = 0,
        backwards: int = 0,
        brief: bool = False,
    ) -> Any:
        """`function(model, *rows of one example)` for each of M, NumPy arrays [M, ...].

        Args:
            function: of one example, traced once per function and shapes: give one of
                a module, not a new closure.
            rows: pytrees of arrays with a leading axis M.
            forwards: model evaluations per example, counted.
            backwards: gradients per example, counted.
            brief: whether to compile it without optimisation: it is asked once.
        """
        program, model = batched(function, brief), drive.as_partial(self.subject.model)
        found = mapped(program, model, *rows, tile=self.subject.tile)
        times = len(jax.tree.leaves(rows)[0]) * self.subject.samples
        self.count(times * forwards, times * backwards)
        return found

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, made at the first call with this name."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def count(self, forwards: int, backwards: int = 0) -> None:
        """Adds model calls that a check made by itself.

        Raises: LateError: the time is over.
        """
        self.forwards += forwards
        self.backwards += backwards
        if self._seconds_left() <= 0:
            raise LateError


def why_no_gradient(model: LogitsFn, x: np.ndarray) -> str | None:
    """What differentiating a model at one example raises; None where it can be."""

    def back(x: Any) -> Any:
        logits, pull = jax.vjp(lambda x: model(x), x)
        return pull(logits)

    try:
        jax.eval_shape(back, x)
    except Exception as error:  # Whatever a rule of the user's raises.
        line = next(iter(str(error).splitlines()), "")
        return f"{type(error).__name__}: {line}"
    return None


@functools.lru_cache(maxsize=128)
def batched(function: Callable[..., Any], brief: bool = False) -> Any:
    """A function of (model, one example's arrays...) over a batch, compiled once."""
    return compiling.compiled(
        lambda model, *rows: jax.vmap(functools.partial(function, model))(*rows),
        brief=brief,
    )
