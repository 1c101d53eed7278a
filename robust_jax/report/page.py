"""A record as one HTML file: no script, no link, nothing to load."""

import html
from collections.abc import Sequence
from typing import NamedTuple

from robust_jax.core import records
from robust_jax.report import table
from robust_jax.report.site import drawings, run_page, sections


class PageFigure(NamedTuple):
    """A figure of a page; the caption describes it to those who do not see it."""

    title: str
    caption: str
    path: records.PathLike  # PNG


class PageTable(NamedTuple):
    """A table of a page beside that of the record's rows."""

    title: str
    caption: str
    rows: Sequence[table.Row]
    columns: Sequence[table.Column] | None = None  # all keys of the rows by default


# Of a page without Jinja2: its texts alone.
_BARE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'">
<title>{title}</title>
</head>
<body>
<h1>{title}</h1>
<p>{summary}</p>
{tables}
<ul>{notes}</ul>
<p>This page has texts alone: {why}. The record beside it has everything.</p>
</body>
</html>
"""


def write_page(
    path: records.PathLike,
    record: records.Record,
    parts: Sequence[PageFigure | PageTable] = (),
    *,
    columns: Sequence[table.Column] | None = None,
) -> None:
    """Writes a record as a self-contained page for a browser.

    First how robust the model is and whether to believe it, where the record has an
    evaluation; then its stages, cost and checks, tables and figures, and what is needed
    to run it again. `report.site` has the same page with charts that answer.
    Guarantees: the figures are in the file, byte for byte; all text is escaped; the
    file is written whole or not at all; a record read back gives the same page.
    Edge cases: without Jinja2 the page has title, summary, tables and notes alone, and
    says what to install.

    Args:
        path: the HTML file.
        record: see `core.records.Record`.
        parts: further tables and figures, in their order.
        columns: of the table; all keys of the rows by default.
    Raises: ValueError: a figure that is missing or no PNG, a column that no row has.
    """
    plain = records.plain(record)
    shown = [_part(part) for part in parts]
    try:
        text = run_page.alone(plain, shown, columns)
    except ImportError as error:
        text = _bare(plain, parts, columns, str(error))
    with records.atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _part(part: PageFigure | PageTable) -> sections.Table | drawings.Drawing:
    if isinstance(part, PageTable):
        return sections.made(*part)
    return drawings.inside(*part)


def _bare(
    record: records.Record,
    parts: Sequence[PageFigure | PageTable],
    columns: Sequence[table.Column] | None,
    why: str,
) -> str:
    tables = [part for part in parts if isinstance(part, PageTable)]
    if record["rows"]:
        tables.insert(0, PageTable("Results", "", record["rows"], columns))
    return _BARE.format(
        title=html.escape(record["title"]),
        summary=html.escape(record["summary"]),
        tables="\n".join(
            f"<h2>{html.escape(each.title)}</h2>\n"
            f"<pre>{html.escape(table.format_table(each.rows, each.columns))}</pre>"
            for each in tables
        ),
        notes="".join(f"<li>{html.escape(note)}</li>" for note in record["notes"]),
        why=html.escape(why),
    )
