"""How far an evaluation is: a bar, and a file for `robust-jax report --watch`."""

import pathlib
import time
from types import TracebackType

from absl import flags

from robust_jax.commands.shared import recording
from robust_jax.evaluate.bars import EvaluationBar
from robust_jax.evaluate.forecast import Progress
from robust_jax.report.site import live

flags.disclaim_key_flags()
_EVERY = 2.0  # Seconds between two points.
_MOST = 500  # Points; of more every other one is left out.


class Following:
    """`on_progress` of an evaluation; a context.

    The file stays until the run's record is there, and goes if the run is stopped.
    """

    def __init__(self, run: recording.Run, description: str) -> None:
        self._run, self._bar = run, EvaluationBar(description)
        self._path: pathlib.Path = run.out / live.PROGRESS
        self._points: list[live.Point] = []
        self._told = -_EVERY

    def __enter__(self) -> "Following":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.__exit__(kind, error, trace)
        if kind is not None:
            self._path.unlink(missing_ok=True)

    def __call__(self, progress: Progress) -> None:
        """Tells it."""
        self._bar(progress)
        if time.monotonic() - self._told < _EVERY:
            return
        robust = progress.robust
        now = self._run.seconds, progress.share, progress.stage
        self._points.append(live.Point(*now, robust.value, *robust.interval))
        if len(self._points) > _MOST:
            self._points = [*self._points[:-1:2], self._points[-1]]
        live.write_progress(self._path, recording.command(), self._points)
        self._told = time.monotonic()
