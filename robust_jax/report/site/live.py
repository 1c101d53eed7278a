"""The page of a run that is on its way, from what it leaves on the disk."""

import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from robust_jax.core import records
from robust_jax.report import reading
from robust_jax.report.site import charts, place, render, sections

PROGRESS = "progress.json"  # As `Progress` has it, of an evaluation.
METRICS = "metrics.jsonl"  # A row for each epoch, of training.


class Point(NamedTuple):
    """How far an evaluation was at one time."""

    seconds: float  # since it began
    share: float  # of the time that it is expected to take
    stage: str
    value: float  # robust accuracy so far, an upper bound
    low: float
    high: float


class Live(NamedTuple):
    """What is shown of a run."""

    what: str  # the command, or the folder
    said: list[str]  # sentences on how far it is
    share: float | None
    charts: list[charts.Chart]
    table: sections.Table | None


def write(folder: pathlib.Path, out: pathlib.Path, every: float) -> bool:
    """Writes the page of a run that is on its way; False if its record is there.

    Args:
        folder: of the run.
        out: of the page, index.html.
        every: seconds after which a browser loads it again.
    Raises: ValueError: a folder where no run is on its way, a damaged file, a place
        for the page where a run is.
        ImportError: the extra `pages` is not installed.
    """
    render.check_installed()
    place.check_apart(out, [folder])
    if (folder / PROGRESS).exists():
        shown = _evaluation(folder)
    elif (folder / reading.FILE).exists():
        return False
    elif (folder / METRICS).exists():
        shown = _training(folder)
    else:
        raise ValueError(
            f"runs={folder}; expected a run on its way, with {PROGRESS} of an "
            f"evaluation or {METRICS} of training; start it first, or name its --out"
        )
    render.write_assets(records.prepare_out_dir(out / "assets"))
    given = {"title": f"On its way: {folder.name}", "scripts": ["charts.js", "site.js"]}
    page = render.page("live.html", "assets/", **given, live=shown, every=every)
    render.write(out / "index.html", page)
    return True


def write_progress(path: pathlib.Path, command: str, points: Sequence[Point]) -> None:
    """Writes what `write` reads of an evaluation."""
    rows = [point._asdict() for point in points]
    records.write_json(path, {"command": command, "points": rows})


def read_progress(path: pathlib.Path) -> tuple[str, list[Point]]:
    """What `write_progress` wrote.

    Raises: ValueError: another content.
    """
    content = records.read_json(path)
    try:
        points = [Point(**row) for row in content["points"]]
        numbers = [n for p in points for n in (p.seconds, p.share, *p[3:])]
        if points and all(map(math.isfinite, numbers)):
            return str(content["command"]), points
    except (TypeError, KeyError):
        pass
    raise ValueError(f"{path} is damaged; remove it: the run writes it anew")


def _evaluation(folder: pathlib.Path) -> Live:
    command, points = read_progress(folder / PROGRESS)
    last = points[-1]
    said = [
        f"{last.stage}, {100 * last.share:.0f} % done after {_time(last.seconds)}",
        f"robust accuracy at most {100 * last.value:.1f}\N{NO-BREAK SPACE}% so far",
    ]
    if 0 < last.share < 1:
        left = last.seconds * (1 - last.share) / last.share
        said.insert(1, f"about {_time(left)} to go")
    return Live(command, said, last.share, [charts.so_far(points)], None)


def _training(folder: pathlib.Path) -> Live:
    path = folder / METRICS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [dict(json.loads(line)) for line in lines]
        keys = list(dict.fromkeys(key for row in rows for key in row))
        history: dict[str, Any] = {k: [row.get(k) for row in rows] for k in keys}
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); move it away") from error
    said = [f"{len(rows)} epochs done"] if rows else ["no epoch done yet"]
    made = charts.of_record({"series": {"history": history}}) if rows else []
    table = sections.of_rows("Epochs", rows) if rows else None
    return Live(f"Training in {folder}", said, None, made, table)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
