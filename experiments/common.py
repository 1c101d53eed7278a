"""What every experiment's command line shares: errors, flags, records."""

import logging as python_logging
import os
import pathlib
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from absl import app, flags, logging

from robust_jax import datasets, report
from robust_jax.core import checks, records
from robust_jax.datasets.types import Dataset

OUT = flags.DEFINE_string(
    "out", None, "Directory for record, page and figures; default out/EXPERIMENT."
)
SEED = flags.DEFINE_integer(
    "seed", 0, "Of weights, order and random starts.", lower_bound=0
)
DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Directory of prepared data sets (experiments.prepare_data); default "
    "$TFDS_DATA_DIR, else ~/tensorflow_datasets. The digits need none.",
)


def run_main(main: Callable[[list[str]], None]) -> None:
    """Runs an experiment; a user's error is one sentence on stderr and exit code 2.

    Ctrl-C exits with 130. `--verbosity=1` shows where an error came from.
    """
    app.run(lambda argv: _guarded(main, argv), flags_parser=_parse)


def _guarded(main: Callable[[list[str]], None], argv: list[str]) -> None:
    logging.use_absl_handler()
    logging.get_absl_handler().setFormatter(None)  # Plain lines: the message alone.
    python_logging.getLogger("jax").setLevel(python_logging.WARNING)
    # TF32 and bfloat16 products would decide flags near the border on accelerators.
    jax.config.update("jax_default_matmul_precision", "float32")
    try:
        if len(argv) > 1:
            raise ValueError(f"unexpected argument {argv[1]!r}; options start with --")
        main(argv)
    except (ValueError, FileNotFoundError, PermissionError) as error:
        logging.debug("where the error came from", exc_info=True)
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _parse(argv: Sequence[str]) -> list[str]:
    flags.FLAGS.set_default("verbosity", logging.INFO)
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except SystemExit:  # --help was given; absl leaves with 1.
        sys.exit(0)


class Run:
    """One run of an experiment: where it writes, and what it will have recorded.

    Making it proves that the directory can be written, before hours of work. `rows`,
    `series` and `notes` are filled on the way; `save` writes record.json and index.html.

    Raises: ValueError: the directory cannot be made or written.
    """

    def __init__(self, experiment: str) -> None:
        self.experiment = experiment
        self.out = records.prepare_out_dir(OUT.value or f"out/{experiment}")
        self.rows: list[dict[str, Any]] = []
        self.series: dict[str, Any] = {}
        self.notes: list[str] = []
        self._figures: list[tuple[str, str, pathlib.Path]] = []
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Wall time since the run began."""
        return time.perf_counter() - self._start

    def figure(self, name: str, title: str, caption: str) -> pathlib.Path:
        """The file for a figure, which the page will show with title and caption."""
        folder = self.out / "figures"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.png"
        self._figures.append((title, caption, path))
        return path

    def save(
        self, title: str, summary: str, columns: Sequence[report.Column] | None = None
    ) -> None:
        """Writes record.json and index.html, each whole or not at all."""
        record = records.Record(
            schema=records.SCHEMA,
            experiment=self.experiment,
            command=_command(self.experiment),
            flags=_flags(),
            environment=records.environment(),
            rows=self.rows,
            series=self.series,
            notes=self.notes,
            seconds=self.seconds,
        )
        records.write_json(self.out / "record.json", record)
        page = self.out / "index.html"
        text = {"title": title, "summary": summary, "columns": columns}
        report.write_page(page, record, self._figures, **text)
        print(f"wrote {self.out / 'record.json'} and {page}")


def load(name: str, split: str, count: int | None = None) -> Dataset:
    """A split of a data set, or its first `count` examples.

    Raises: ValueError: an unknown name, or more examples than there are.
        FileNotFoundError: a data set that is not prepared.
    """
    dataset = datasets.load(name, split, DATA_DIR.value)
    if count is None:
        return dataset
    checks.positive_integer("count", count)
    if count > len(dataset):
        raise ValueError(f"count={count}; {name} {split} has {len(dataset)} examples")
    return dataset.take(np.arange(count))


def _command(experiment: str) -> str:
    return shlex.join(["python", "-m", f"experiments.{experiment}", *sys.argv[1:]])


def _flags() -> dict[str, Any]:
    """The flags of the experiment and of this module, defaults included."""
    own = flags.FLAGS.get_flags_for_module(sys.modules["__main__"])
    shared = flags.FLAGS.get_flags_for_module(sys.modules[__name__])
    return {f.name: _plain(f.value) for f in [*own, *shared]}


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value
