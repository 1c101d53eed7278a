"""Rows of several runs, those that differ in their seed alone put together."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from robust_jax.core import checks
from robust_jax.report import table
from robust_jax.report.gathering import Run

SETTINGS = (  # Numbers that say what a row is of, where others say what was found.
    "n",
    "eps",
    "radius",
    "epoch",
    "step",
    "severity",
    "number",
    "queries",
)
_SEED = "seed"
# Flags that change no number, and one that every seed of a training has another of.
ASIDE = {
    _SEED, "out", "name", "journal", "data_dir", "compile_cache", "strict", "restart",
    "checkpoint", "tensorboard", "wandb", "watch", "print_config",
}  # fmt: skip

Row = Mapping[str, Any]
_Told = tuple[dict[str, Any], Run, Row]  # A row with what tells it from others.


class Group(NamedTuple):
    """Rows of one kind, one of each run."""

    key: dict[str, Any]  # what they have in common
    rows: list[Row]
    seeds: list[Any]

    def values(self, name: str) -> list[Any]:
        """What was measured under a name, runs in order."""
        found = (row.get(name) for row in self.rows)
        return [value for value in found if value is not None]


class Mean(NamedTuple):
    """What several runs measured, or one of them: then `mean` is its very value."""

    mean: float
    deviation: float | None  # sample standard deviation over the runs; None of one
    low: float | None  # of the 95 % intervals over examples, the lowest end
    high: float | None  # and the highest
    runs: int

    @property
    def error(self) -> float | None:
        """The standard error of the mean."""
        return None if self.deviation is None else self.deviation / math.sqrt(self.runs)


def grouped(
    runs: Sequence[Run], by: Sequence[str] | None, where: Mapping[str, Any]
) -> list[Group]:
    """The rows of runs, in groups, in the order in which they first appear.

    Args:
        runs: whose rows.
        by: the columns that tell groups apart; by default texts, `SETTINGS`, and the
            flags in which runs with equal rows differ, but for the seed.
        where: values of columns; other rows are left out.
    Raises: ValueError: an unknown column; two rows of a run in one group; by default, a
        run that is there twice.
    """
    pairs = [(run, row) for run in runs for row in run.record["rows"]]
    known = list(dict.fromkeys(name for _, row in pairs for name in row))
    for argument, names in (("by", by or ()), ("where", where)):
        for name in names:
            checks.known_name(f"column of {argument}", name, known)
    pairs = [pair for pair in pairs if _fits(pair[1], where)]
    if not pairs:
        raise ValueError(
            f"where={checks.shown(dict(where))} leaves no row; expected values that "
            "rows have"
            if where
            else "runs: none has a row; expected one with a table"
        )
    keys = [name for name in known if name in by] if by else _keys(pairs, known)
    told: list[_Told] = [
        ({name: row.get(name) for name in keys}, run, row) for run, row in pairs
    ]
    if by is None:
        told = _told_by_flags(told)
    groups: dict[str, Group] = {}
    owners: dict[str, list[Run]] = {}
    for key, run, row in told:
        text = _text(key)
        group = groups.setdefault(text, Group(key, [], []))
        if any(run is other for other in owners.setdefault(text, [])):
            raise ValueError(
                f"by={checks.shown(by)}; two rows of a run have the same "
                f"{checks.shown(key)}; expected columns that tell them apart; choose "
                f"from {', '.join(known)}"
            )
        owners[text].append(run)
        group.rows.append(row)
        group.seeds.append(row.get(_SEED, run.seed))
    if by is None:
        _check_seeds(groups.values())
    return list(groups.values())


def mean_of(values: Sequence[Any]) -> Mean | None:
    """Values of a column of numbers; None of none.

    Args:
        values: as records have them: numbers, proportions, medians.
    """
    numbers = [float(_middle(value)) for value in values]
    if not numbers:
        return None
    ends = [end for value in values if (end := _ends(value)) is not None]
    low = min((float(low) for low, _ in ends), default=None)
    high = max((float(high) for _, high in ends), default=None)
    if len(numbers) == 1:
        return Mean(_middle(values[0]), None, low, high, 1)
    is_finite = all(map(math.isfinite, numbers))
    mean = statistics.mean(numbers) if is_finite else sum(numbers) / len(numbers)
    deviation = statistics.stdev(numbers) if is_finite else math.nan
    return Mean(mean, deviation, low, high, len(numbers))


def is_measured(name: str, values: Sequence[Any]) -> bool:
    """Whether a column holds what was found, in numbers."""
    some = [value for value in values if value is not None]
    is_aside = name in (*SETTINGS, _SEED)
    return bool(some) and not is_aside and all(map(table.is_number, some))


def _keys(pairs: Sequence[tuple[Run, Row]], known: Sequence[str]) -> list[str]:
    def is_key(name: str) -> bool:
        some = [row[name] for _, row in pairs if row.get(name) is not None]
        are_plain = all(isinstance(v, str | bool | int | float) for v in some)
        return (
            bool(some) and name != _SEED and are_plain and not is_measured(name, some)
        )

    return [name for name in known if is_key(name)]


def _told_by_flags(told: list[_Told]) -> list[_Told]:
    """With the flags in which runs differ whose rows would be of one group."""
    of: dict[str, list[Run]] = {}
    for key, run, _ in told:
        of.setdefault(_text(key), []).append(run)
    differing: dict[str, None] = {}
    for alike in of.values():
        names = dict.fromkeys(name for run in alike for name in run.record["flags"])
        for name in names:
            values = {_text(run.record["flags"].get(name)) for run in alike}
            if name not in ASIDE and len(values) > 1:
                differing[name] = None
    return [
        ({**{n: run.record["flags"].get(n) for n in differing}, **key}, run, row)
        for key, run, row in told
    ]


def _check_seeds(groups: Any) -> None:
    for group in groups:
        seeds = [_text(seed) for seed in group.seeds]
        twice = [seed for seed in set(seeds) if seeds.count(seed) > 1]
        if twice:
            raise ValueError(
                f"runs: {seeds.count(twice[0])} of them have seed {twice[0]} and equal "
                f"flags and rows ({checks.shown(group.key)}); expected each run once; "
                "leave one out, or say which columns tell rows apart (by=...)"
            )


def _fits(row: Row, where: Mapping[str, Any]) -> bool:
    def fits(found: Any, wanted: Any) -> bool:
        return found in wanted if isinstance(wanted, list | tuple) else found == wanted

    return all(fits(row.get(name), wanted) for name, wanted in where.items())


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _middle(value: Any) -> Any:
    return value["value"] if isinstance(value, dict) else _number(value)


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value  # "NaN", "Infinity".


def _ends(value: Any) -> tuple[Any, Any] | None:
    if not isinstance(value, dict):
        return None
    low, high = value.get("interval") or (value.get("low"), value.get("high"))
    return None if low is None else (low, high)
