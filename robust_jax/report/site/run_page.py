"""The page of one run: a folder of a site, or one file that loads nothing."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from concurrent import futures
from typing import Any, NamedTuple

from robust_jax.report import table
from robust_jax.report.site import (
    charts,
    citing,
    downloads,
    drawings,
    images,
    render,
    results,
    sections,
)

_TOGETHER = 60  # Rows of a table that stand open.


class Judged(NamedTuple):
    """An evaluation as its page shows it: the funnel, what it cost, its checks."""

    heading: str  # empty if it is the only one
    funnel: sections.Table | None
    chart: charts.Chart | None
    ledger: sections.Table | None
    checks: list[sections.CheckLine]
    summary: str  # of the audit
    citation: str


def write_run(
    record: dict[str, Any], folder: pathlib.Path, place: pathlib.Path
) -> None:
    """Writes the page of a run in a site, with the files that it offers.

    Args:
        record: of the run.
        folder: of the run.
        place: of the page.
    """
    with futures.ThreadPoolExecutor(1) as thread:
        # Both leave Python to the other while they unpack and convert.
        found = thread.submit(images.browser, record, folder)
        shown = _written(record, folder, place)
    shown["images"] = found.result()
    page = render.page("run.html", "../../assets/", **_common(record), **shown)
    render.write(place / "index.html", page)


def _written(
    record: dict[str, Any], folder: pathlib.Path, place: pathlib.Path
) -> dict[str, Any]:
    """What a page shows, but for its images, with the files that it offers written."""
    judged = _judged(record, drawn=True)
    drawn = charts.of_record(record)
    every = [*(each.chart for each in judged if each.chart), *drawn]
    files = drawings.files(record, folder)
    links = {file: f"figures/{file.name}" for file in files}
    (place / "figures").mkdir(exist_ok=True)
    for file in files:
        downloads.copied(file, place / links[file])
    offered = downloads.offered(record, folder, place, every)
    offered += [downloads.Download(link, link) for link in links.values()]
    return {
        "judged": judged,
        "charts": drawn,
        "parts": [
            *map(_table_part, _tables(record)),
            *map(_drawing_part, drawings.beside(record, files, links)),
        ],
        "downloads": offered,
        "scripts": ["charts.js", "site.js"],
        "home": "../../index.html",
    }


def alone(
    record: dict[str, Any],
    parts: Sequence[sections.Table | drawings.Drawing],
    columns: Sequence[table.Column] | None,
) -> str:
    """The page of a run as one file, without scripts.

    Args:
        record: of JSON's types.
        parts: further tables and figures, in order.
        columns: of the table of the record's rows.
    """
    kinds = [
        _table_part(p) if isinstance(p, sections.Table) else _drawing_part(p)
        for p in parts
    ]
    shown = {"judged": _judged(record, drawn=False), "charts": [], "parts": kinds}
    nothing: dict[str, Any] = {
        "images": None,
        "downloads": [],
        "scripts": [],
        "home": None,
    }
    given = _common(record, columns)
    return render.page("run.html", None, **given, **shown, **nothing)


def _common(
    record: dict[str, Any], columns: Sequence[table.Column] | None = None
) -> dict[str, Any]:
    environment, rows = record["environment"], record["rows"]
    day = results.date(record)
    table_of = sections.of_rows("Results", rows)
    if columns is not None:
        table_of = sections.made("Results", "", rows, columns)
    return {
        "title": record["title"],
        "summary": record["summary"],
        "results": [each for each in results.results(record) if each.robust],
        "rows": table_of if rows else None,
        "is_long": len(rows) > _TOGETHER,
        "notes": record["notes"],
        "command": record["command"],
        "seconds": record["seconds"],
        "flags": pairs(record["flags"]),
        "environment": pairs(environment),
        "citation": citing.citation(environment.get("robust_jax"), day[:4]),
    }


def _judged(record: dict[str, Any], drawn: bool) -> list[Judged]:
    found = list(results.evaluations(record))
    return [_one(each, len(found) > 1, drawn, i) for i, each in enumerate(found)]


def _one(evaluation: dict[str, Any], several: bool, drawn: bool, place: int) -> Judged:
    heading = f"{evaluation.get('model')}, {evaluation.get('threat')}"
    left = sections.funnel_rows(evaluation)
    name = f"funnel-{place + 1}" if several else "funnel"
    chart = (
        charts.funnel(left, name, "Images left, by stage") if drawn and left else None
    )
    return Judged(
        heading if several else "",
        sections.funnel(evaluation),
        chart,
        sections.ledger(evaluation),
        sections.checks(evaluation),
        _audit_summary(evaluation),
        str(evaluation.get("citation") or ""),
    )


def _audit_summary(evaluation: dict[str, Any]) -> str:
    audit = evaluation.get("audit")
    if not audit:
        return "No audit was run."
    verdicts = [finding["verdict"] for finding in audit["findings"]]
    share = audit.get("share")
    cost = "" if share is None else f", {100 * share:.0f} % of the plan's cost"
    return (
        f"{verdicts.count('pass')} passed, {verdicts.count('flag')} flagged, "
        f"{verdicts.count('skipped')} not run; {audit['forwards']:,} forwards, "
        f"{audit['backwards']:,} backwards{cost}, {audit['seconds']:.1f} s."
    )


def _tables(record: dict[str, Any]) -> list[sections.Table]:
    return [sections.of_rows(*each) for each in sections.tables_of(record) if each[1]]


def _table_part(shown: sections.Table) -> dict[str, Any]:
    return {"table": shown, "drawing": None}


def _drawing_part(shown: drawings.Drawing) -> dict[str, Any]:
    return {"table": None, "drawing": shown}


def pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Keys and values as they were given, not rounded."""
    return [(str(key), _text(value)) for key, value in values.items()]


def _text(value: Any) -> str:
    if value is None:
        return table.MISSING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
