"""What faults happen to: commands with tiny settings, their answers and their state.

A subject's state lies in files that are bytes here, of whatever meaning; its answer is
what a user would take for the result.
"""

import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from robust_jax.models import weights_file

NET = "net.safetensors"
_TINY = (
    "--recipe=digits", "--set=model=mlp", "--set=model_config.hidden=[32]",
    "--set=data.batch_size=32", "--set=validate_every=1",
)  # fmt: skip
_TRAIN = ("train", *_TINY, "--epochs=3", "--count=96", "--save_every=2")
_EVALUATE = ("evaluate", f"--checkpoint={NET}", "--plan=basic", "--noaudit",
             "--count=48", "--tile=8")  # fmt: skip
_DISTANCES = ("attack", f"--checkpoint={NET}", "--compare=ddn", "--norm=l2",
              "--count=24")  # fmt: skip
NET_COMMAND = ("train", *_TINY, "--epochs=6")


class Subject(NamedTuple):
    """A command, run in a directory that holds NET and OUT, which is `out`."""

    name: str
    command: tuple[str, ...]  # the one that is judged
    others: tuple[tuple[str, ...], ...]  # of other settings, whose state is not its own
    state: tuple[str, ...]  # where it keeps what it goes on from
    answer: Callable[[pathlib.Path], Any]  # of OUT


def _evaluated(out: pathlib.Path) -> Any:
    with np.load(out / "adversarial.npz") as file:
        names = ("x_adv", "winner", "clean", "ids")
        found = {name: _digest(file[name]) for name in names}
    return found, _rows(out)


def _trained(out: pathlib.Path) -> Any:
    arrays = weights_file.read(out / "model.safetensors").arrays
    lines = (out / "metrics.jsonl").read_text().splitlines()
    metrics = [_timeless(json.loads(line)) for line in lines]
    return {name: _digest(a) for name, a in arrays.items()}, metrics, _rows(out)


def _measured(out: pathlib.Path) -> Any:
    record = json.loads((out / "record.json").read_text())
    return record["series"]["distances"], _rows(out)


def _rows(out: pathlib.Path) -> list[dict[str, Any]]:
    record = json.loads((out / "record.json").read_text())
    return [_timeless(row) for row in record["rows"]]


def _timeless(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "seconds"}


def _digest(array: np.ndarray) -> str:
    kind = f"{array.dtype} {array.shape}".encode()
    return hashlib.sha256(kind + array.tobytes()).hexdigest()


SUBJECTS = (
    Subject(
        "evaluate",
        (*_EVALUATE, "--eps=0.05"),
        ((*_EVALUATE, "--eps=0.15"), (*_EVALUATE, "--eps=0.05", "--seed=1")),
        ("journal",),
        _evaluated,
    ),
    Subject(
        "train",
        _TRAIN,
        ((*_TRAIN, "--set=descent.rate=0.3"), (*_TRAIN, "--seed=1")),
        ("checkpoints", "metrics.jsonl"),
        _trained,
    ),
    Subject("distances", _DISTANCES, (), (), _measured),
)  # fmt: skip
