"""What tables and figures are made of: records, in whatever form they are given."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from robust_jax.core import checks, records
from robust_jax.core.records import Record
from robust_jax.report import reading

_WANTED = (
    "a record, the path of a record.json or of its folder, or a result such as a "
    "report, a curve or distances; or several of them in a list"
)


class Run(NamedTuple):
    """A record, and where its arrays are."""

    record: Record  # in JSON's types alone
    folder: pathlib.Path | None  # of a record that was read
    result: Any  # that was given in its place

    @property
    def seed(self) -> Any:
        """Of the run; None if its flags have none."""
        return self.record["flags"].get("seed")


def gathered(runs: Any) -> list[Run]:
    """The records of runs.

    Args:
        runs: a record, a path, or a result with `to_record`; or a sequence of them.
    Raises: ValueError: none, or one that cannot be read. TypeError: something else.
    """
    given = runs if _are_several(runs) else [runs]
    if not given:
        raise ValueError(f"runs={checks.shown(runs)}; expected {_WANTED}")
    return [_gathered(f"runs[{i}]", one) for i, one in enumerate(given)]


def _are_several(runs: Any) -> bool:
    is_one = isinstance(runs, str | os.PathLike | Mapping) or hasattr(runs, "to_record")
    return isinstance(runs, Sequence) and not is_one


def _gathered(name: str, one: Any) -> Run:
    if hasattr(one, "to_record"):
        return Run(cast(Record, records.plain(one.to_record())), None, one)
    if isinstance(one, str | os.PathLike):
        return Run(reading.read(one), reading.file_of(one).parent, None)
    if isinstance(one, Mapping):
        return Run(reading.checked(records.plain(one), name), None, None)
    raise TypeError(f"{name}={checks.shown(one)}; expected {_WANTED}")
