"""Texts of a record made fit for where they go: names of files, cells of a CSV."""

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from robust_jax.core.metrics import Proportion

_LONGEST = 48  # letters of a slug
# Vega's converter ends the process at a control character; pages cannot show them, nor
# halves of surrogate pairs.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufffe\uffff]"
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # What spreadsheets calculate.


def printable(value: Any) -> Any:
    """Data of JSON's types with U+FFFD for each character that pages cannot show."""
    if isinstance(value, str):
        return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        return [printable(item) for item in value]
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    return value


def slugs(names: Iterable[str]) -> list[str]:
    """Names of files, one for each name: lower-case letters, digits and hyphens.

    Guarantees: all differ; never a path, whatever the name.
    """
    made: list[str] = []
    for name in names:
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower())[:_LONGEST].strip("-") or "run"
        slug, number = plain, 2
        while slug in made:
            slug, number = f"{plain}-{number}", number + 1
        made.append(slug)
    return made


def csv_text(titles: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """A table as CSV (RFC 4180) in which no text is a formula to a spreadsheet."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([_cell(title) for title in titles])
    writer.writerows([_cell(value) for value in line] for line in lines)
    return file.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?(\d+(\.\d+)?(e[-+]?\d+)?|Infinity)", text) is not None


def proportion(value: Any) -> Proportion | None:
    """The proportion that a record's mapping stands for; None for anything else."""
    if not isinstance(value, dict):
        return None
    successes, n = value.get("successes"), value.get("n")
    if not isinstance(successes, int) or not isinstance(n, int):
        return None
    return Proportion(successes, n) if 0 <= successes <= n > 0 else None


def number(value: Any) -> float:
    """A number of a record, whose non-finite ones are texts; NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except ValueError:
        return math.nan
