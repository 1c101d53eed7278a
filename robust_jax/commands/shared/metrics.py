"""Where the metrics of a run go: JSON lines always, TensorBoard and W&B if asked."""

import json
import pathlib
from typing import Any

import numpy as np
from absl import flags

from robust_jax.commands.shared import distributed
from robust_jax.core import extras, records
from robust_jax.evaluate import Report

_SHOWN = 16  # Images on TensorBoard.
_TENSORBOARD = flags.DEFINE_bool(
    "tensorboard", False, "Also write OUT/tensorboard; needs tensorboardX."
)
_WANDB = flags.DEFINE_bool(
    "wandb", False, "Also send to Weights & Biases; needs wandb."
)


def check_flags() -> None:
    """Raises ValueError if a package that was asked for is missing."""
    if _TENSORBOARD.value:
        _tensorboard()
    if _WANDB.value:
        _wandb()


class Metrics:
    """`write(step, row)` to all places at once; of several processes the first writes.

    OUT/metrics.jsonl has one row per step written, in order; a run that goes on from an
    earlier step replaces the rows after it, and one that starts anew all of them.
    """

    def __init__(self, out: pathlib.Path) -> None:
        self._path = out / "metrics.jsonl"
        self._board: Any = None
        self._wandb: Any = None
        self._is_first = distributed.is_first()
        if _TENSORBOARD.value and self._is_first:
            self._board = _tensorboard().SummaryWriter(str(out / "tensorboard"))
        if _WANDB.value and self._is_first:
            self._wandb = _wandb()
            self._wandb.init(dir=str(out))

    def start(self, step: int) -> None:
        """Keeps the rows up to a step, from which the run goes on.

        Raises: ValueError: a file in which there is something else than rows.
        """
        if self._is_first and self._path.exists():
            self._write([line for at, line in self._rows() if at <= step])

    def finish(self, rows: list[dict[str, Any]], per_epoch: int) -> None:
        """Writes the rows of all epochs, whatever earlier runs left."""
        if self._is_first:
            steps = [{"step": row["epoch"] * per_epoch, **row} for row in rows]
            self._write([json.dumps(records.plain(row)) for row in steps])

    def write(self, step: int, row: dict[str, Any]) -> None:
        """Writes a row of numbers; None stands for what was not measured."""
        if not self._is_first:
            return
        kept = [line for at, line in self._rows() if at < step]
        self._write([*kept, json.dumps(records.plain({"step": step, **row}))])
        numbers = {name: value for name, value in row.items() if value is not None}
        if self._board is not None:
            for name, value in numbers.items():
                self._board.add_scalar(name, value, step)
            self._board.flush()
        if self._wandb is not None:
            self._wandb.log(numbers, step=step)

    def _write(self, lines: list[str]) -> None:
        with records.atomic_path(self._path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines))

    def _rows(self) -> list[tuple[int, str]]:
        """The lines of the file with their steps."""
        if not self._path.exists():
            return []
        lines = self._path.read_bytes().splitlines()
        try:
            return [(int(json.loads(line)["step"]), line.decode()) for line in lines]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{self._path} cannot be read ({error}); expected a row of JSON with a "
                "step in each line; move it away"
            ) from error


def write_board(
    out: pathlib.Path, result: Report, clean: np.ndarray, given: dict[str, Any]
) -> None:
    """Writes an evaluation to OUT/tensorboard, if it was asked for.

    Accuracy after each stage, the first broken images with their change, and the flags
    as hyper-parameters of clean and robust accuracy.

    Args:
        out: the run's folder.
        result: what was found.
        clean: [N, ...], the clean images, channels last.
        given: the flags.
    """
    if not _TENSORBOARD.value:
        return
    simple = bool | int | float | str
    chosen = {k: v for k, v in given.items() if isinstance(v, simple)}
    measured = {"clean_accuracy": result.clean_accuracy.value}
    measured["robust_accuracy"] = result.robust_accuracy.value
    with _tensorboard().SummaryWriter(str(out / "tensorboard")) as board:
        for step, stage in enumerate(result.stages):
            board.add_scalar("accuracy_after_stage", stage.accuracy.value, step)
            board.add_text("stage", stage.name, step)
        for name, images in _broken(result, clean).items():
            board.add_images(name, images, dataformats="NHWC")
        board.add_hparams(chosen, measured, name="evaluate")


def _broken(result: Report, clean: np.ndarray) -> dict[str, np.ndarray]:
    """Some broken images of one or three channels, and their change around grey."""
    some = np.flatnonzero(result.winner >= 0)[:_SHOWN]
    x, x_adv = clean[some], result.inside.x_adv[some]
    if not len(some) or x.ndim != 4 or x.shape[-1] not in (1, 3):
        return {}
    most = np.abs(x_adv - x).max(initial=1e-12)
    return {"clean": x, "adversarial": x_adv, "change": 0.5 + (x_adv - x) / (2 * most)}


def rows(history: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """A row for each epoch."""
    epochs = zip(*history.values(), strict=True)
    return [dict(zip(history, row, strict=True)) for row in epochs]


def _tensorboard() -> Any:
    return extras.needed("tensorboardX", "tensorboard", "tensorboard=True")


def _wandb() -> Any:  # Of no extra.
    try:
        return __import__("wandb")
    except ImportError as error:
        raise ValueError(
            "wandb=True needs wandb, which is not installed; run pip install wandb"
        ) from error
