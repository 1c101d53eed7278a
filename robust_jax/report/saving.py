"""What a run leaves behind beside its data: record.json and its page."""

import os
import pathlib
from collections.abc import Sequence

from robust_jax.core import records
from robust_jax.core.records import Figure, PathLike, Record
from robust_jax.report.page import PageFigure, PageTable, write_page
from robust_jax.report.reading import FILE
from robust_jax.report.table import Column


def write_run(
    out: PathLike,
    record: Record,
    parts: Sequence[PageFigure | PageTable] = (),
    *,
    columns: Sequence[Column] | None = None,
) -> None:
    """Writes record.json and index.html, each whole or not at all.

    Args:
        out: an existing folder.
        record: its figures are those of `parts`.
        parts: further tables and figures of the page; the files of figures are in
            `out`.
        columns: of the table of the record's rows; all their keys by default.
    """
    folder = pathlib.Path(out)
    drawn = [part for part in parts if isinstance(part, PageFigure)]
    record = {**record, "figures": [_figure(folder, part) for part in drawn]}
    records.write_json(folder / FILE, record)
    write_page(folder / "index.html", record, parts, columns=columns)


def _figure(folder: pathlib.Path, part: PageFigure) -> Figure:
    path = pathlib.Path(os.path.relpath(part.path, folder))
    return Figure(
        name=path.stem, title=part.title, caption=part.caption, file=path.as_posix()
    )
