"""A record as one HTML file: no script, no link, nothing to load."""

import base64
import html
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from robust_jax.core import records
from robust_jax.report import table


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


_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_WIDTH = slice(16, 20)  # PNG specification, 11.2.1: big-endian, first in IHDR.
_PIXELS_PER_UNIT = 150 / 96  # Our figures per inch, CSS per inch: text keeps its size.
# The policy makes the browser refuse whatever this file does not hold.
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
"""
_STYLE = """
:root { --ink: #1c1c1c; --quiet: #5a5a5a; --line: #d9d9d9; --band: #f6f6f4;
  --paper: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e6; --quiet: #a9a9a6; --line: #3c3c3c; --band: #202020;
    --paper: #161616; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0.5rem 0 0.8rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.6rem; }
.lead { font-size: 1.1rem; max-width: 46rem; margin: 0 0 1.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.35rem 0.7rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { border-bottom: 2px solid var(--quiet); vertical-align: bottom; }
tbody tr:nth-child(even) { background: var(--band); }
th.number { text-align: right; }
td.number { text-align: right; white-space: nowrap; }
.pairs th, .pairs td { overflow-wrap: anywhere; }
.pairs th { font-weight: normal; color: var(--quiet); min-width: 9rem; }
figure { margin: 0 0 1.5rem; }
figure img { display: block; max-width: 100%; height: auto; background: #fff;
  border: 1px solid var(--line); border-radius: 4px; }
@media (max-width: 40rem) {
  figure img { max-width: 36rem; }
  th, td { padding: 0.3rem 0.5rem; font-size: 0.92rem; }
}
figcaption { max-width: 46rem; color: var(--quiet); margin-top: 0.4rem; }
pre { background: var(--band); padding: 0.7rem 0.9rem; border-radius: 4px;
  white-space: pre-wrap; overflow-wrap: anywhere; }
"""


def write_page(
    path: records.PathLike,
    record: records.Record,
    parts: Sequence[PageFigure | PageTable] = (),
    *,
    columns: Sequence[table.Column] | None = None,
) -> None:
    """Writes a record as a self-contained page for a browser.

    Title, summary, notes, the table of the record's rows, further tables and figures,
    and at the end what is needed to run it again: command, flags, environment.
    Guarantees: the figures are in the file, byte for byte; all text is escaped; the
    file is written whole or not at all; a record read back gives the same page.

    Args:
        path: the HTML file.
        record: see `core.records.Record`.
        parts: further tables and figures, in their order.
        columns: of the table; all keys of the rows by default.
    Raises: ValueError: a figure that is missing or no PNG, a column that no row has.
    """
    plain = records.plain(record)
    title = html.escape(plain["title"])
    pieces = [
        _HEAD.format(title=title, style=_STYLE),
        f"<h1>{title}</h1>\n",
        f'<p class="lead">{html.escape(plain["summary"])}</p>\n',
        _notes(plain["notes"]),
        _section("Results", _rows(plain["rows"], columns)) if plain["rows"] else "",
        *(_table(p) if isinstance(p, PageTable) else _figure(*p) for p in parts),
        _section("Command", f"<pre>{html.escape(plain['command'])}</pre>\n"),
        f"<p>Took {float(plain['seconds']):,.1f} seconds.</p>\n",
        _section("Flags", _pairs(plain["flags"])),
        _section("Environment", _pairs(plain["environment"])),
        "</main>\n</body>\n</html>\n",
    ]
    with records.atomic_path(path) as temporary:
        temporary.write_text("".join(pieces), encoding="utf-8")


def _section(heading: str, body: str) -> str:
    return f"<section>\n<h2>{html.escape(heading)}</h2>\n{body}</section>\n"


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{html.escape(note)}</li>\n" for note in notes)
    return _section("Notes", f"<ul>\n{items}</ul>\n")


def _rows(rows: Sequence[table.Row], columns: Sequence[table.Column] | None) -> str:
    cells = table.make_cells(rows, columns)
    sides = [' class="number"' if right else "" for right in cells.numeric]

    def line(tag: str, texts: Sequence[str]) -> str:
        inner = "".join(
            f"<{tag}{side}>{html.escape(text)}</{tag}>"
            for text, side in zip(texts, sides, strict=True)
        )
        return f"<tr>{inner}</tr>\n"

    head = line("th", cells.titles)
    body = "".join(line("td", texts) for texts in cells.lines)
    return (
        f'<div class="wide" tabindex="0">\n<table>\n<thead>\n{head}</thead>\n'
        f"<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )


def _table(part: PageTable) -> str:
    caption = f"<p>{html.escape(part.caption)}</p>\n" if part.caption else ""
    return _section(part.title, caption + _rows(part.rows, part.columns))


def _figure(title: str, caption: str, path: records.PathLike) -> str:
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise ValueError(
            f"figure={os.fspath(path)}; expected a PNG file ({error.strerror}); "
            "draw it first"
        ) from error
    if not content.startswith(_PNG):
        raise ValueError(
            f"figure={os.fspath(path)}; expected a PNG file, found other content; "
            "draw it again"
        )
    width = round(int.from_bytes(content[_PNG_WIDTH]) / _PIXELS_PER_UNIT)
    data = base64.b64encode(content).decode("ascii")
    alt = html.escape(f"{title}. {caption}")
    return _section(
        title,
        f'<figure>\n<div class="wide" tabindex="0"><img alt="{alt}" width="{width}" '
        f'src="data:image/png;base64,{data}"></div>\n'
        f"<figcaption>{html.escape(caption)}</figcaption>\n</figure>\n",
    )


def _pairs(values: Mapping[str, Any]) -> str:
    lines = "".join(
        f"<tr><th>{html.escape(key)}</th><td>{html.escape(_text(value))}</td></tr>\n"
        for key, value in values.items()
    )
    return f'<table class="pairs">\n<tbody>\n{lines}</tbody>\n</table>\n'


def _text(value: Any) -> str:
    """As it was given, not rounded: what is typed again must be the same."""
    if value is None:
        return table.MISSING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
