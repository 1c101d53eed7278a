"""The files that a run's page offers: tables, charts, figures, record and images."""

import os
import pathlib
import shutil
from typing import Any, NamedTuple

from robust_jax.core import extras, records
from robust_jax.report.site import render, results, sections
from robust_jax.report.site.charts import Chart
from robust_jax.report.site.text import csv_text, slugs

_SCALE = 2.0  # of a chart's PNG


class Download(NamedTuple):
    """A link to a file, and what it is."""

    href: str
    text: str


def offered(
    record: dict[str, Any],
    folder: pathlib.Path,
    place: pathlib.Path,
    charts: list[Chart],
) -> list[Download]:
    """Writes the files of a run's page, and says which.

    Args:
        record: of the run.
        folder: of the run.
        place: of the page.
        charts: of the page.
    """
    made = []
    for name in ("record.json", "adversarial.npz"):
        if (folder / name).is_file():
            copied(folder / name, place / name)
            made.append(Download(name, name))
    tables = [("rows", record["rows"]), *_tables(record)]
    names = slugs(title for title, _ in tables)
    for name, (title, rows) in zip(names, tables, strict=True):
        if rows:
            render.write(place / f"{name}.csv", csv_text(*flat(rows)))
            made.append(Download(f"{name}.csv", f"{title}, CSV"))
    for chart in charts:
        made += _chart(chart, place)
    return made


def copied(file: pathlib.Path, to: pathlib.Path) -> None:
    """A copy of the file; of images, which are large, a second name where that can be.

    Runs replace their files and never write into them, so that it stays as it is.
    """
    with records.atomic_path(to) as temporary:
        try:
            if file.suffix != ".npz":
                raise OSError
            os.link(file.resolve(), temporary)
        except OSError:
            shutil.copyfile(file, temporary)


def flat(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Titles and cells of rows; a mapping, such as an accuracy, is several cells."""
    lines: list[dict[str, Any]] = []
    for row in records.plain(rows):
        line: dict[str, Any] = {}
        for key, value in row.items():
            line |= _cells(key, value)
        lines.append(line)
    titles = list(dict.fromkeys(key for line in lines for key in line))
    return titles, [[line.get(title) for title in titles] for line in lines]


def _cells(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        if isinstance(value.get("interval"), list) and len(value["interval"]) == 2:
            low, high = value["interval"]
            value = {k: v for k, v in value.items() if k != "interval"}
            value |= {"low": low, "high": high}
        return {f"{key}_{k}" if k != "value" else key: v for k, v in value.items()}
    return {key: value}


def _tables(record: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Titles and rows beside the record's own: its tables, costs and checks."""
    tables = sections.tables_of(record)
    judged = list(results.evaluations(record))
    for evaluation in judged:
        of = f" of {evaluation.get('model')}" if len(judged) > 1 else ""
        audit = evaluation.get("audit") or {}
        tables.append((f"cost{of}", evaluation.get("ledger") or []))
        tables.append((f"checks{of}", audit.get("findings") or []))
    return tables


def _chart(chart: Chart, place: pathlib.Path) -> list[Download]:
    """A chart as SVG, PNG and PDF, from one drawing."""
    convert = extras.needed("vl_convert", "pages", "report.site")
    render.write(place / f"{chart.name}.svg", chart.svg)
    for kind, content in (
        ("png", convert.svg_to_png(chart.svg, scale=_SCALE)),
        ("pdf", convert.svg_to_pdf(chart.svg)),
    ):
        with records.atomic_path(place / f"{chart.name}.{kind}") as temporary:
            temporary.write_bytes(content)
    kinds = ("svg", "png", "pdf")
    return [Download(f"{chart.name}.{k}", f"{chart.title}, {k.upper()}") for k in kinds]
