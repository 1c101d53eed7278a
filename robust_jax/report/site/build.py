"""A site of runs: reads records, writes an index and a page for each."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from robust_jax.core import records
from robust_jax.report.site import render, text
from robust_jax.report.site.run_page import run_page


class Run(NamedTuple):
    """A run that was read."""

    slug: str
    folder: pathlib.Path
    record: dict[str, Any]


class Bad(NamedTuple):
    """A run that could not be shown, and why."""

    name: str
    why: str


def site(
    runs: Sequence[records.PathLike] | records.PathLike,
    out: records.PathLike,
    *,
    baseline: records.PathLike | None = None,
    title: str | None = None,
) -> pathlib.Path:
    """Writes a static site that compares runs: an index, and a page for each.

    It works from a folder without a server, and loads nothing but its own files.
    Runs that cannot be read are named on the index.

    Args:
        runs: folders of runs, their record.json, or folders of such folders.
        out: the folder of the site.
        baseline: one of the runs, from which the index gives each one's difference.
        title: of the index.
    Returns: the path of index.html.
    Raises: ValueError: no run that can be read; a baseline that is none of them; a bad
        folder. ImportError: the extra `pages` is not installed.

    >>> rj.report.site(["out/quickstart", "out/evaluate"], "out/site")  # doctest: +SKIP
    PosixPath('out/site/index.html')
    """
    found, bad = _read([runs] if isinstance(runs, str | os.PathLike) else list(runs))
    folder = records.prepare_out_dir(out)
    assets = records.prepare_out_dir(folder / "assets")
    render.write_assets(assets)
    for run in found:
        place = records.prepare_out_dir(folder / "runs" / run.slug)
        render.write(place / "index.html", run_page(run.record, run.folder))
    index = folder / "index.html"
    columns = [{"title": "run", "numeric": False}]
    lines = [
        [
            {
                "numeric": False,
                "order": run.slug,
                "href": f"runs/{run.slug}/index.html",
                "text": run.folder.name,
                "trust": None,
            }
        ]
        for run in found
    ]
    scripts = ["tables.js", "site.js"]
    given = {"columns": columns, "lines": lines, "bad": bad, "scripts": scripts}
    page = render.page("index.html", "assets/", title=title or "Runs", **given)
    render.write(index, page)
    return index


def _read(paths: list[records.PathLike]) -> tuple[list[Run], list[Bad]]:
    places, bad = [], []
    for path in map(pathlib.Path, paths):
        place = path.parent if path.name == "record.json" else path
        try:
            places.append((place, records.read_json(place / "record.json")))
        except ValueError as error:
            bad.append(Bad(str(path), str(error)))
    names = text.slugs(place.resolve().name for place, _ in places)
    pairs = zip(names, places, strict=True)
    return [Run(name, *place) for name, place in pairs], bad
