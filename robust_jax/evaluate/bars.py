"""How far an evaluation is, shown as a bar (host)."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

from robust_jax import report
from robust_jax.evaluate.forecast import Progress
from robust_jax.evaluate.options import Run
from robust_jax.report.progress import is_wanted, of_a_call


class EvaluationBar:
    """Shows how far an evaluation is: `on_progress` of `evaluate.robustness`.

    Args:
        description: shown first.
        asked: as in `report.progress.is_wanted`.
    """

    def __init__(self, description: str, asked: bool | None = True) -> None:
        self._description, self._asked, self._done = description, asked, 0
        self._bar: report.Progress[None] | None = None

    def __call__(self, progress: Progress) -> None:
        if self._bar is None:
            self._bar = of_a_call(100, self._description, "%", self._asked)
        robust, percent = progress.robust.value, int(100 * progress.share)
        self._bar.set(stage=progress.stage, robust=f"<= {100 * robust:.1f} %")
        self._bar.update(percent - self._done)
        self._done = percent

    def __enter__(self) -> "EvaluationBar":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()


@contextlib.contextmanager
def shown(run: Run) -> Iterator[Run]:
    """The run, which tells a bar how far it is, if one is to be shown."""
    if run.on_progress is not None or not is_wanted(run.progress):
        yield run
        return
    with EvaluationBar(run.name, run.progress) as bar:
        yield dataclasses.replace(run, on_progress=bar)


def nobody(n: int) -> None:
    """Whom a function tells how far it is, if it is told of none."""


@contextlib.contextmanager
def told(
    on_items: Callable[[int], None],
    total: int,
    what: tuple[str, str],
    asked: bool | None,
) -> Iterator[Callable[[int], None]]:
    """Who is told how many items are done: `on_items`, or a bar where there is none.

    Args:
        what: the bar's description and the items' name.
    """
    if on_items is not nobody:
        yield on_items
        return
    with of_a_call(total, *what, asked) as bar:
        yield bar.update
