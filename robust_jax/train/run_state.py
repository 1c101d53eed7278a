"""The state of a training run, and the contract of what saves it (host)."""

import dataclasses
import functools
import statistics
from typing import Any, NamedTuple, Protocol

import jax

from robust_jax.train.state import TrainState, Variables

EpochMetrics = dict[str, Any]  # numbers; None: not measured
Means = dict[str, float]
Identity = dict[str, str | int]  # what makes two runs the same, by path


@dataclasses.dataclass
class TrainingProgress:
    """The state that is no array; all of it goes to JSON and back."""

    # Of whole epochs, and of the steps of the present one.
    history: list[EpochMetrics] = dataclasses.field(default_factory=list)
    steps: list[Means] = dataclasses.field(default_factory=list)
    seconds: float = 0.0  # of the present epoch, in earlier processes, too
    best: float = -1.0  # robust validation accuracy
    best_epoch: int = 0
    best_pgd_accuracy: float = 0.0  # under PGD, of the detector's checks
    collapsed_at: int | None = None  # the step from which the remedy trains

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return len(self.history)

    def means(self) -> Means:
        """Means of the present epoch's metrics, each over the steps that have it."""
        gathered: dict[str, list[float]] = {}
        for step in self.steps:
            for name, value in step.items():
                gathered.setdefault(name, []).append(value)
        return {name: statistics.fmean(values) for name, values in gathered.items()}


class RunState(NamedTuple):
    """All that a resumed run needs."""

    state: TrainState
    best: Variables | None  # the best weights so far, if the recipe keeps the best
    progress: TrainingProgress

    def named(self) -> dict[str, Any]:
        """The arrays by their path in the tree, in its order."""
        leaves, _ = jax.tree_util.tree_flatten_with_path((self.state, self.best))
        path = functools.partial(jax.tree_util.keystr, simple=True, separator="/")
        return {path(keys): a for keys, a in leaves}

    def leaves(self) -> dict[str, str]:
        """Types and shapes of the arrays."""
        return {name: f"{a.dtype} {list(a.shape)}" for name, a in self.named().items()}


class Checkpointer(Protocol):
    """Saves the state of a run, and says when training should stop."""

    every: int  # steps between two saves; 0 saves the end alone

    def restore(self, like: RunState, identity: Identity) -> RunState | None:
        """The newest state that was saved, with the shapes of `like`; None if none.

        `identity` goes into all that is saved; another run's state is refused.
        """
        ...

    def save(self, run: RunState, *, wait: bool) -> None:
        """Saves; `wait` returns once all is written."""
        ...

    def is_asked_to_stop(self) -> bool:
        """Whether a signal came in; all processes ask and get the same answer."""
        ...

    def within(self, name: str) -> "Checkpointer":
        """The checkpointer of a part of the run, which stops with it."""
        ...

    def newest(self) -> str:
        """Where the last whole checkpoint lies, for error messages; "" if nowhere."""
        ...


class NullCheckpointer:
    """The checkpointer that saves nothing."""

    every = 0

    def restore(self, like: RunState, identity: Identity) -> RunState | None:
        """None."""
        return None

    def save(self, run: RunState, *, wait: bool) -> None:
        """Does nothing."""

    def is_asked_to_stop(self) -> bool:
        """Never."""
        return False

    def within(self, name: str) -> "NullCheckpointer":
        """The same."""
        return self

    def newest(self) -> str:
        """Nowhere."""
        return ""
