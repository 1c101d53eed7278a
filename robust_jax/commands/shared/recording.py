"""What a run of an experiment leaves behind: record, page and figures."""

import pathlib
import shlex
import sys
import time
from collections.abc import Sequence
from typing import Any

from absl import flags, logging

from robust_jax import report
from robust_jax.commands.shared import common
from robust_jax.core import locks, records
from robust_jax.report.site import live


class Run:
    """One run of an experiment: where it writes, and what it will have recorded.

    Making it proves that the directory can be written, before hours of work, and keeps
    other runs out of it to the end of the experiment. `rows`, `series`, `notes`, tables
    and figures are gathered on the way; `save` writes them.

    Args:
        experiment: its name.
        writes: False in the processes of a run that do not write its results.
    Raises: ValueError: the directory cannot be made or written, or is in use.
    """

    def __init__(self, experiment: str, writes: bool = True) -> None:
        self.experiment = experiment
        self.out = records.prepare_out_dir(common.OUT.value or f"out/{experiment}")
        self._lock = locks.Lock(self.out, "out") if writes else None
        self.rows: list[dict[str, Any]] = []
        self.series: dict[str, Any] = {}
        self.notes: list[str] = []
        self.earlier = 0.0  # seconds of earlier sittings that the results come from
        self._parts: list[report.PageFigure | report.PageTable] = []
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Wall time since the run began."""
        return time.perf_counter() - self._start

    def can_draw(self) -> bool:
        """Whether figures can be drawn; if not, a note tells what to install."""
        missing = report.no_figures()
        if missing:
            self.notes.append(missing)
            logging.warning("%s", missing)
        return missing is None

    def figure(self, name: str, title: str, caption: str) -> pathlib.Path:
        """The file for a figure, which the page will show with title and caption."""
        folder = self.out / "figures"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.png"
        self._parts.append(report.PageFigure(title, caption, path))
        return path

    def add(self, parts: Sequence[report.PageFigure]) -> None:
        """The page will show figures that are drawn already."""
        self._parts += parts

    def table(
        self,
        title: str,
        caption: str,
        rows: Sequence[dict[str, Any]],
        columns: Sequence[report.Column] | None = None,
    ) -> None:
        """Prints a table beside that of `rows`; record and page will have it."""
        self._parts.append(report.PageTable(title, caption, rows, columns))
        self.series.setdefault("tables", {})[title] = rows
        print(f"\n{title}\n{report.for_terminal(rows, columns)}")

    def show(self, columns: Sequence[report.Column]) -> None:
        """Prints the table of `rows`, then the notes."""
        print(report.for_terminal(self.rows, columns), *self.notes, sep="\n")

    def save(
        self, title: str, summary: str, columns: Sequence[report.Column] | None = None
    ) -> None:
        """As `write`, and prints where."""
        self.write(title, summary, columns)
        print(f"wrote {self.out / 'record.json'} and {self.out / 'index.html'}")

    def write(
        self, title: str, summary: str, columns: Sequence[report.Column] | None = None
    ) -> None:
        """Writes record.json and index.html, each whole or not at all."""
        record = records.Record(
            schema=records.SCHEMA,
            experiment=self.experiment,
            title=title,
            summary=summary,
            command=command(),
            flags=flags_given(),
            environment=records.environment(),
            rows=self.rows,
            series=self.series,
            notes=self.notes,
            figures=[],
            seconds=self.earlier + self.seconds,
        )
        report.write_run(self.out, record, self._parts, columns=columns)
        (self.out / live.PROGRESS).unlink(missing_ok=True)  # It is over.


def command() -> str:
    """What to type to run it again."""
    return f"{common.program()} {shlex.join(sys.argv[1:])}".rstrip()


def flags_given() -> dict[str, Any]:
    """The flags of the experiment and of this module, defaults included."""
    own = flags.FLAGS.get_key_flags_for_module(sys.modules["__main__"])
    return {flag.name: flag.value for flag in own}
