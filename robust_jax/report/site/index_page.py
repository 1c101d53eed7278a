"""The index of a site: a line for each result of each run, and its difference."""

import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from robust_jax.report import table
from robust_jax.report.site import charts, differences, render, results
from robust_jax.report.site.results import Result, Trust

_TITLES = (  # and whether the column is of numbers
    ("run", False),
    ("verdict", False),
    ("robust [95 %]", True),
    ("clean [95 %]", True),
    ("n", True),
    ("model", False),
    ("threat", False),
    ("data", False),
    ("plan", False),
    ("forwards + backwards", True),
    ("seconds", True),
    ("date (UTC)", False),
    ("experiment", False),
)
_FILTERS = ("experiment", "model", "data", "threat", "plan", "verdict")
_DRAWN = 200  # More lines than that are no picture.
_CHOICES = 30  # More texts than that are for the search.


class Run(NamedTuple):
    """A run that was read."""

    slug: str  # of its page
    name: str
    folder: pathlib.Path
    record: dict[str, Any]


class Bad(NamedTuple):
    """A run that could not be shown, and why."""

    name: str
    why: str


class Cell(NamedTuple):
    """A cell of the index: its text, and by what it is sorted."""

    text: str
    order: str | float
    numeric: bool = False
    href: str | None = None
    trust: Trust | None = None
    more: str = ""  # under the text, small


class _Line(NamedTuple):
    run: Run
    result: Result
    data: str
    holds: dict[int, bool] | None


def index_page(
    runs: Sequence[Run], bad: Sequence[Bad], baseline: Run | None, title: str
) -> str:
    """The index as HTML.

    Args:
        runs: in the order of the lines.
        bad: what was left out.
        baseline: the run from whose results differences are taken, if any.
        title: of the page.
    """
    lines = [line for run in runs for line in _lines(run)]
    bases = [] if baseline is None else _lines(baseline)
    titles = list(_TITLES)
    cells = [_cells(line) for line in lines]
    if baseline is not None:
        place = titles.index(("robust [95 %]", True)) + 1
        titles.insert(place, ("difference [95 %]", True))
        for row, line in zip(cells, lines, strict=True):
            row.insert(place, _difference(line, bases))
    return render.page(
        "index.html",
        "assets/",
        title=title,
        titles=titles,
        lines=cells,
        filters=_filters(titles, cells),
        chart=_chart(lines),
        bad=bad,
        baseline=None if baseline is None else baseline.name,
        scripts=["tables.js", "site.js"],
        broad=True,
    )


def check(run: Run) -> None:
    """Raises what the index would for a record whose values are not of their kinds."""
    for line in _lines(run):
        _cells(line)


def _lines(run: Run) -> list[_Line]:
    found = results.results(run.record)
    data = results.data(run.record)
    holds = differences.verdicts(run.folder / "adversarial.npz")
    return [_Line(run, each, data, _of(holds, each)) for each in found]


def _of(holds: dict[int, bool] | None, result: Result) -> dict[int, bool] | None:
    """The verdicts on images, if they are those that the result counts."""
    if holds is None or result.robust is None:
        return None
    counted = sum(holds.values()), len(holds)
    return holds if counted == (result.robust.successes, result.robust.n) else None


def _cells(line: _Line) -> list[Cell]:
    run, found = line.run, line.result
    date = results.date(run.record)
    return [
        Cell(run.name, run.name, href=f"runs/{run.slug}/index.html"),
        Cell(found.trust.verdict, found.trust.verdict, trust=found.trust),
        _share(found.robust, found.certified),
        _share(found.clean),
        _number(found.n),
        *map(_text, (_short(found.model), found.threat, line.data, found.plan)),
        _calls(found),
        _number(found.seconds, 1),
        Cell(date or table.MISSING, date),
        _text(run.record["experiment"]),
    ]


def _short(model: str) -> str:
    """A model's name without the folders above its own."""
    is_path = re.fullmatch(r"(/|\.{0,2}/|\w+/).*\.\w+", model) is not None
    return "/".join(pathlib.PurePath(model).parts[-2:]) if is_path else model


def _text(value: Any) -> Cell:
    return Cell(str(value) or table.MISSING, str(value))


def _number(value: float | None, digits: int = 0) -> Cell:
    if value is None:
        return Cell(table.MISSING, "", numeric=True)
    return Cell(f"{value:,.{digits}f}", float(value), numeric=True)


def _calls(found: Result) -> Cell:
    """What was useful of forwards and backwards, sorted by their sum."""
    if found.forwards is None or found.backwards is None:
        return _number(None)
    text = f"{found.forwards:,.0f} + {found.backwards:,.0f}"
    return _number(found.forwards + found.backwards)._replace(text=text)


def _share(value: Any, certified: Any = None) -> Cell:
    if value is None:
        return Cell(table.MISSING, "", numeric=True)
    more = "" if certified is None else f"certified {100 * certified.value:.1f} %"
    return Cell(str(value), value.value, numeric=True, more=more)


def _difference(line: _Line, bases: Sequence[_Line]) -> Cell:
    mine = line.result
    if mine.robust is None:
        return _number(None)
    if any(line.run is base.run and mine == base.result for base in bases):
        return Cell("baseline", 0.0, numeric=True)
    same = [base for base in bases if base.result.threat == mine.threat]
    if not same:
        return _number(None)._replace(more="other threat")
    same = [base for base in same if base.data == line.data]
    if not same:
        return _number(None)._replace(more="other data")
    base = next((b for b in same if b.result.model == mine.model), same[0])
    if base.result.robust is None:
        return _number(None)
    pair = line.holds, base.holds
    found = differences.of_runs(mine.robust, base.result.robust, pair)
    return Cell(str(found), found.value, numeric=True, more=found.how)


def _filters(
    titles: Sequence[tuple[str, bool]], cells: Sequence[Sequence[Cell]]
) -> list[dict[str, Any]]:
    """Columns with the few texts that they have, to choose from."""
    found = []
    for column, (title, _) in enumerate(titles):
        texts = sorted({row[column].text for row in cells})
        if title in _FILTERS and 1 < len(texts) <= _CHOICES:
            found.append({"column": column, "title": title, "texts": texts})
    return found


def _chart(lines: Sequence[_Line]) -> charts.Chart | None:
    """Robust accuracies and their intervals, one for each line that has one."""
    points = []
    for line in lines:
        robust = line.result.robust
        if robust is not None:
            name = f"{line.run.name}: {_short(line.result.model)}, {line.result.threat}"
            low, high = robust.interval
            value = {"value": robust.value, "low": low, "high": high}
            points.append({"name": name, **value})
    if not 0 < len(points) <= _DRAWN:
        return None
    caption = "Points are robust accuracies, lines their 95 % intervals."
    return charts.intervals("robust", "Robust accuracy", caption, points)
