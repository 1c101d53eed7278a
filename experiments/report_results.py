"""What was measured, as a page: one section for each record.

    python -m experiments.report_results --records=out/demo,out/evaluate

Writes docs/results.md, or the page of `--markdown`. Each folder's record.json becomes a
section at the end of the page, in the place of what an earlier call wrote there; what
stands above the line of `MARK` is kept.
"""

import pathlib
from typing import Any

from absl import flags

from robust_jax import report
from robust_jax.commands.shared import common, pages
from robust_jax.core import records
from robust_jax.report import table as tables

_RECORDS = flags.DEFINE_list("records", None, "Folders with a record.json, in order.")
MARK = "<!-- Below: written by `python -m experiments.report_results`. -->\n"


def main(argv: list[str]) -> None:
    """Writes the page."""
    if not _RECORDS.value:
        raise ValueError("records=None; expected a folder with a record.json, or more")
    path = pathlib.Path(pages.MARKDOWN.value or "docs/results.md")
    above = path.read_text() if path.exists() else "# What was measured\n\n"
    pages.write(path, page(above, [report.read(name) for name in _RECORDS.value]))


def page(above: str, read: list[records.Record]) -> str:
    """The page: what people wrote above the mark, and a section for each record."""
    kept = above.partition(MARK)[0]
    return kept + MARK + "".join(f"\n{section(record)}" for record in read)


def section(record: records.Record) -> str:
    """Command, place and time of a run, its table and its notes."""
    of = record["environment"]
    place = (
        f"{of['date'][:10]}, {of['device_kind']} ({of['cpu_model']}), JAX {of['jax']}"
    )
    commit = "" if of["git_commit"] is None else f", commit {of['git_commit'][:7]}"
    head = f"## `{record['command']}`\n\n{place}{commit}; {record['seconds']:,.0f} s.\n"
    notes = "".join(f"* {' '.join(note.split())}\n" for note in record["notes"])
    return f"{head}\n{table(record['rows'])}" + (f"\n{notes}" if notes else "")


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as a table in Markdown; what is no number or text is left out."""
    flat = [{k: v for k, v in row.items() if _fits(v)} for row in rows]
    cells = tables.make_cells(flat)
    return pages.table(cells.titles, cells.lines)


def _fits(value: Any) -> bool:
    """A number or a text, with an interval perhaps."""
    return not tables.auto(value).startswith(("{", "["))


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    flags.adopt_module_key_flags(pages)
    common.run_main(main)
