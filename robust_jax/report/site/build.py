"""A site of runs: reads records, writes an index and a page for each."""

import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from robust_jax.core import checks, records
from robust_jax.report import reading
from robust_jax.report.site import place, render, text
from robust_jax.report.site.index_page import Bad, Run, check, index_page
from robust_jax.report.site.run_page import write_run

_TITLE = "Robustness of models"


def site(
    runs: Sequence[records.PathLike] | records.PathLike,
    out: records.PathLike,
    *,
    baseline: records.PathLike | None = None,
    title: str | None = None,
) -> pathlib.Path:
    """Writes a static site that compares runs: an index, and a page for each.

    It works from a folder, without a server, and loads nothing but its own files. A run
    that cannot be read is named on the index, with the reason.

    Args:
        runs: folders of runs, their record.json, or folders with runs somewhere below.
        out: the folder of the site; no run's own.
        baseline: one of the runs, from which the index gives each one's difference in
            robust accuracy, with an interval.
        title: of the index.
    Returns: the path of index.html.
    Raises: ValueError: no run that can be read; a baseline that is none of them; a bad
        folder. TypeError: what is no path or no text. ImportError: the extra `pages`
        is not installed.

    >>> rj.report.site(["out/quickstart", "out/evaluate"], "out/site")  # doctest: +SKIP
    PosixPath('out/site/index.html')
    """
    render.check_installed()
    if title is not None:
        checks.instance("title", title, str, "a text")
    found, bad = _read(_paths(runs))
    base = None if baseline is None else _baseline(baseline, found)
    folder = records.prepare_out_dir(out)
    place.check_apart(folder, [run.folder for run in found])
    render.write_assets(records.prepare_out_dir(folder / "assets"))
    shown = []
    for run in found:
        page = records.prepare_out_dir(folder / place.RUNS / run.slug)
        try:
            check(run)
            write_run(run.record, run.folder, page)
            shown.append(run)
        except (OSError, MemoryError):  # Of this machine, not of the run.
            raise
        except Exception as error:  # A record of the right keys may hold anything.
            (page / "index.html").unlink(missing_ok=True)  # Of an earlier site.
            said = " ".join(str(error).split())
            bad.append(Bad(str(run.folder), f"{type(error).__name__}: {said}"))
    index = folder / "index.html"
    base = next((run for run in shown if run is base), None)  # It may be left out.
    render.write(index, index_page(shown, bad, base, title or _TITLE))
    return index


def _paths(runs: Any) -> list[pathlib.Path]:
    if isinstance(runs, str | os.PathLike):
        return [pathlib.Path(runs)]
    checks.instance("runs", runs, Sequence, "a list of the folders of runs")
    for i, run in enumerate(runs):
        checks.instance(f"runs[{i}]", run, str | os.PathLike, "the folder of a run")
    return [pathlib.Path(run) for run in runs]


def _read(paths: list[pathlib.Path]) -> tuple[list[Run], list[Bad]]:
    """The runs of the paths, and what could not be read; each run once.

    Raises: ValueError: no run among them.
    """
    places: list[tuple[pathlib.Path, dict]] = []
    bad: list[Bad] = []
    for folder in dict.fromkeys(p for path in paths for p in _places(path)):
        try:
            places.append((folder, text.printable(reading.read(folder))))
        except ValueError as error:
            bad.append(Bad(str(folder), str(error)))
    if not places:
        reasons = "".join(f"; {each.why}" for each in bad)
        raise ValueError(
            f"runs={[str(p) for p in paths]}; expected folders of runs, with a "
            f"{reading.FILE} each{reasons}"
        )
    names = [folder.resolve().name for folder, _ in places]
    whole = zip(text.slugs(names), names, places, strict=True)
    return [Run(slug, name, *place) for slug, name, place in whole], bad


def _places(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """The folders of the runs that a path means."""
    if path.name == reading.FILE:
        yield path.parent
        return
    below = (
        []
        if (path / reading.FILE).exists()
        else sorted(path.glob(f"**/{reading.FILE}"))
    )
    yield from (f.parent for f in below if not _is_copy(f)) if below else (path,)


def _is_copy(file: pathlib.Path) -> bool:
    """Whether a record is the one that a page of a site offers."""
    site = file.parent.parent
    return site.name == place.RUNS and (site.parent / place.SCRIPT).is_file()


def _baseline(baseline: records.PathLike, runs: Sequence[Run]) -> Run:
    """The run of that path, else of that name."""
    checks.instance("baseline", baseline, str | os.PathLike, "one of the runs")
    path = pathlib.Path(baseline)
    wanted = (path.parent if path.name == reading.FILE else path).resolve()
    found = [run for run in runs if run.folder.resolve() == wanted]
    found = found or [run for run in runs if run.name == os.fspath(baseline)]
    if len(found) != 1:
        several = "more than one has this name" if found else "none is it"
        raise ValueError(
            f"baseline={os.fspath(baseline)}; expected one of the runs, and {several}: "
            f"{', '.join(str(run.folder) for run in runs)}"
        )
    return found[0]
