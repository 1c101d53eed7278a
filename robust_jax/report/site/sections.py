"""The tables of a run's page: the funnel of its stages, what they cost, the checks."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from robust_jax.report import table
from robust_jax.report.site.text import number, proportion

_NOT_STAGES = ("none", "worst case", "audit")  # Rows of an evaluation beside stages.
_VERDICTS = {  # of a check: how it is said, and its colour
    "pass": ("passed", "good"),
    "flag": ("flagged", "bad"),
    "skipped": ("not run", "none"),
}
_FUNNEL = (
    table.Column("stage", "stage"),
    table.Column("left", "images left"),
    table.Column("broken", "broken here"),
    table.Column("accuracy", "accuracy [95 %]"),
    table.Column("seconds", "seconds", table.fixed(1)),
)
_ALONE = (
    table.Column("attack", "attack"),
    table.Column("accuracy", "accuracy [95 %]"),
    table.Column("seconds", "seconds", table.fixed(1)),
)
_LEDGER = (
    table.Column("stage", "stage"),
    table.Column("useful_forwards", "useful forwards"),
    table.Column("useful_backwards", "useful backwards"),
    table.Column("spent_forwards", "spent forwards"),
    table.Column("spent_backwards", "spent backwards"),
    table.Column("equivalents_per_robust_point", "forwards to spare an image"),
    table.Column("occupancy", "slots in use", lambda v: _share(v)),
)


class Table(NamedTuple):
    """A table as a page shows it."""

    title: str
    caption: str
    titles: tuple[str, ...]
    numeric: tuple[bool, ...]
    lines: tuple[tuple[str, ...], ...]


class CheckLine(NamedTuple):
    """A check of the audit as a page shows it."""

    number: int
    name: str
    verdict: str
    level: str
    says: str
    remedy: str
    value: str
    limit: str
    points: str


def made(
    title: str,
    caption: str,
    rows: Sequence[table.Row],
    columns: Sequence[table.Column] | None = None,
) -> Table:
    """A table of rows; a column whose cells are all the same goes into the caption."""
    columns = table.infer_columns(rows) if columns is None else columns
    cells = table.make_cells(rows, columns)
    return Table(title, caption, cells.titles, cells.numeric, cells.lines)


def of_rows(title: str, rows: Sequence[table.Row]) -> Table:
    """A table whose columns are the keys of the rows.

    Of several rows, texts that are the same in each stand once, in the caption.
    """
    columns, same = [], []
    for column in table.infer_columns(rows):
        values = [row.get(column.key) for row in rows]
        if (
            len(rows) > 1
            and isinstance(values[0], str)
            and len(set(map(str, values))) == 1
        ):
            same.append(f"{column.title}: {values[0]}")
        else:
            columns.append(column)
    return made(title, "; ".join(same), rows, columns)


def funnel_rows(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    """Images left after each stage; none where stages are judged each alone."""
    rows = [] if evaluation.get("retire") is False else evaluation.get("rows") or []
    stages = [row for row in rows if row.get("attack") not in _NOT_STAGES[1:]]
    left = [proportion(row.get("accuracy")) for row in stages]
    counts = [p.successes for p in left if p is not None]
    if len(counts) < max(2, len(left)) or counts != sorted(counts, reverse=True):
        return []
    names = ["without attack" if r["attack"] == "none" else r["attack"] for r in stages]
    broken = [None, *(a - b for a, b in itertools.pairwise(counts))]
    return [
        {"stage": name, "left": count, "broken": lost, "accuracy": row["accuracy"],
         "seconds": row.get("seconds")}
        for name, count, lost, row in zip(names, counts, broken, stages, strict=True)
    ]  # fmt: skip


def funnel(evaluation: dict[str, Any]) -> Table | None:
    """Images left after each stage, or the accuracy under each where each is alone."""
    rows = evaluation.get("rows") or []
    if evaluation.get("retire") is False:
        columns = [column for column in _ALONE if any(column.key in r for r in rows)]
        stages = [row for row in rows if row.get("attack") != "audit"]
        return made("Accuracy under each attack", "", stages, columns)
    found = funnel_rows(evaluation)
    caption = "Each stage attacks the images that those before it left."
    return made("Images left, by stage", caption, found, _FUNNEL) if found else None


def ledger(evaluation: dict[str, Any]) -> Table | None:
    """What the stages, and the audit, took of the model."""
    rows = [dict(row) for row in evaluation.get("ledger") or []]
    if not rows:
        return None
    keys = [column.key for column in _LEDGER[1:5]]
    total = {key: sum(int(row.get(key) or 0) for row in rows) for key in keys}
    rows.append({"stage": "all stages", **total})
    audit = evaluation.get("audit")
    if audit:
        spent = {"spent_forwards": audit["forwards"]}
        rows.append({"stage": "audit", **spent, "spent_backwards": audit["backwards"]})
    columns = [c for c in _LEDGER if any(c.key in row for row in rows)]
    caption = (
        "Useful: what an image's attacks took up to the one that broke it, which does "
        "not depend on the schedule. Spent: all that was computed in this session."
    )
    return made("Cost", caption, rows, columns)


def checks(evaluation: dict[str, Any]) -> list[CheckLine]:
    """The checks of the audit, in their order; none without an audit."""
    audit = evaluation.get("audit") or {}
    return [_check(finding) for finding in audit.get("findings", [])]


def tables_of(record: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Titles and rows of the tables that a record has beside its rows."""
    kept = record["series"].get("tables")
    named = kept.items() if isinstance(kept, dict) else ()
    return [(str(title), rows) for title, rows in named if _is_table(rows)]


def _is_table(rows: Any) -> bool:
    return isinstance(rows, list) and all(isinstance(row, dict) for row in rows)


def _check(finding: dict[str, Any]) -> CheckLine:
    said = _VERDICTS.get(str(finding["verdict"]), (str(finding["verdict"]), "none"))
    value, points = number(finding.get("value")), finding.get("points")
    return CheckLine(
        int(finding["number"]),
        str(finding["name"]),
        *said,
        str(finding.get("says", "")),
        str(finding.get("remedy", "")),
        table.MISSING if math.isnan(value) else table.auto(value),
        str(finding.get("limit", "")) or table.MISSING,
        table.auto(points) if points else table.MISSING,
    )


def _share(value: Any) -> str:
    return table.MISSING if value is None else f"{100 * float(value):.0f} %"
