"""The page of one run."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from robust_jax.report import table
from robust_jax.report.site import images, render, results


def run_page(record: dict[str, Any], folder: pathlib.Path) -> str:
    """The page of a run in a site."""
    rows = record["rows"]
    cells = table.make_cells(rows)
    tables = [{"title": "Results", "caption": "", **vars(cells)}] if rows else []
    return render.page(
        "run.html",
        "../../assets/",
        home="../../index.html",
        title=results.title(record, folder.name),
        summary=record.get("summary", ""),
        results=results.results(record),
        tables=tables,
        charts=[],
        images=images.browser(record, folder),
        flags=pairs(record["flags"]),
        environment=pairs(record["environment"]),
        scripts=["charts.js", "site.js"],
    )


def pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Keys and values as they were given, not rounded."""
    return [(key, _text(value)) for key, value in values.items()]


def _text(value: Any) -> str:
    if value is None:
        return table.MISSING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
