"""Tables: one definition of columns and cells for the terminal and for the page."""

import dataclasses
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from robust_jax.core import records
from robust_jax.core.metrics import Median, Proportion
from robust_jax.report.fitting import Cells, laid_out

Row = Mapping[str, Any]
Format = Callable[[Any], str]

MISSING = "\N{EN DASH}"
_MEDIAN = ("value", "low", "high")
_NON_FINITE = ("NaN", "Infinity", "-Infinity")  # As core.records writes them.


def auto(value: Any) -> str:
    """A cell's text by its type: 1,234 for a count, 0.1235 for a number, a `Proportion`
    in per cent and a `Median`, both with their 95 % intervals, yes or no, an en dash
    for None."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if is_proportion(value):
        return str(Proportion(value["successes"], value["n"]))
    if is_median(value):
        return str(Median(*(float(value[key]) for key in _MEDIAN)))
    return str(value)


def fixed(digits: int) -> Format:
    """A format with that many digits after the point; an en dash for None.

    >>> rj.report.fixed(2)(0.125)
    '0.12'
    """
    return lambda value: MISSING if value is None else f"{float(value):,.{digits}f}"


@dataclasses.dataclass(frozen=True)
class Column:
    """One column: the key of its values, its heading, and how a value is written.

    `format` gets values as `core.records.plain` leaves them, whether the rows come from
    a run or from a file; None where a row lacks the key.
    """

    key: str
    title: str
    format: Format = auto


def infer_columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """One column per key, in the order in which the keys first appear."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return tuple(Column(key, key.replace("_", " ")) for key in keys)


def make_cells(rows: Sequence[Row], columns: Sequence[Column] | None = None) -> Cells:
    """The text of every cell.

    A column is numeric if all its present values are numbers or proportions.
    Edge cases: no rows give the headings only; no columns mean `infer_columns`.
    Raises: ValueError: a column whose key is in no row, if there are rows.
    """
    rows = records.plain(list(rows))
    columns = infer_columns(rows) if columns is None else tuple(columns)
    known = {key for row in rows for key in row}
    for column in columns:
        if rows and column.key not in known:
            raise ValueError(
                f"column={column.key!r}; expected a key of the rows; "
                f"choose from {', '.join(sorted(known))}"
            )
    values = [[row.get(column.key) for row in rows] for column in columns]
    return Cells(
        titles=tuple(column.title for column in columns),
        numeric=tuple(all(is_number(v) for v in column) for column in values),
        lines=tuple(
            tuple(column.format(row.get(column.key)) for column in columns)
            for row in rows
        ),
    )


def format_table(
    rows: Sequence[Row],
    columns: Sequence[Column] | None = None,
    width: int | None = None,
) -> str:
    """The table as plain text for a terminal, numbers aligned on the right.

    Args:
        rows: one mapping per line, such as a record's.
        columns: which values in which order; `infer_columns(rows)` by default.
        width: at most so many characters a line, if that can be had: what all rows
            share then stands on top, headings and texts are wrapped. None for any.
    Returns: the lines joined by newlines, no blank at the end of a line.
    Raises: ValueError: a column whose key is in no row.

    >>> print(rj.report.format_table([{"net": "plain", "accuracy": 0.97}]))
    net    accuracy
    -----  --------
    plain      0.97
    """
    return laid_out(make_cells(rows, columns), width)


def for_terminal(rows: Sequence[Row], columns: Sequence[Column] | None = None) -> str:
    """As `format_table`, as wide as the terminal if the output is one."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return format_table(rows, columns, width)


def is_proportion(value: Any) -> bool:
    """A proportion as records have it."""
    return isinstance(value, dict) and {"successes", "n"} <= value.keys()


def is_median(value: Any) -> bool:
    """A median as records have it."""
    return isinstance(value, dict) and set(_MEDIAN) <= value.keys()


def is_number(value: Any) -> bool:
    """What stands on the right: a number, also one that is not finite, or None."""
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        return value in _NON_FINITE
    if isinstance(value, dict):
        return is_proportion(value) or is_median(value)
    return value is None or isinstance(value, int | float)
