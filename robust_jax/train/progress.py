"""Where training stands beside its arrays, and who keeps both (host)."""

import dataclasses
import statistics
from typing import Any, NamedTuple, Protocol

from robust_jax.train.state import TrainState, Variables

Row = dict[str, Any]  # numbers; None: not measured
Means = dict[str, float]
Identity = dict[str, str | int]  # what makes two runs the same, by path


@dataclasses.dataclass
class Progress:
    """What training remembers besides arrays; all of it goes to JSON and back."""

    history: list[Row] = dataclasses.field(default_factory=list)  # of whole epochs
    steps: list[Means] = dataclasses.field(default_factory=list)  # of the present epoch
    seconds: float = 0.0  # of the present epoch, and of sittings before
    best: float = -1.0  # robust validation accuracy
    best_epoch: int = 0
    best_seen: float = 0.0  # PGD accuracy that the watch saw
    healing_since: int | None = None  # the step from which the remedy trains

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


class Kept(NamedTuple):
    """All that a resumed run needs."""

    state: TrainState
    best: Variables | None  # the best weights so far, if the recipe keeps the best
    progress: Progress


class Keeper(Protocol):
    """Keeps training's state, and hears when it should stop."""

    every: int  # steps between two saves; 0 saves the end alone

    def restore(self, like: Kept, identity: Identity) -> Kept | None:
        """The newest state that was saved, with the shapes of `like`; None if none.

        `identity` goes into all that is saved; another run's state is refused.
        """
        ...

    def save(self, kept: Kept, *, wait: bool) -> None:
        """Saves; `wait` returns once all is written."""
        ...

    def is_asked_to_stop(self) -> bool:
        """Whether a signal came in; all processes ask, and hear the same."""
        ...

    def within(self, name: str) -> "Keeper":
        """A keeper for a part of the run, which hears the same signals."""
        ...

    def newest(self) -> str:
        """Where the last whole checkpoint lies, for error messages; "" if nowhere."""
        ...


class Nowhere:
    """The keeper that keeps nothing."""

    every = 0

    def restore(self, like: Kept, identity: Identity) -> Kept | None:
        """None."""
        return None

    def save(self, kept: Kept, *, wait: bool) -> None:
        """Does nothing."""

    def is_asked_to_stop(self) -> bool:
        """Never."""
        return False

    def within(self, name: str) -> "Nowhere":
        """The same."""
        return self

    def newest(self) -> str:
        """Nowhere."""
        return ""
