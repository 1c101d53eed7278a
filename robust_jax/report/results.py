"""Tables for papers: rows of many runs as Markdown, LaTeX, CSV or a pandas frame."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

from robust_jax.core import checks
from robust_jax.core.extras import needed
from robust_jax.report import escaping, markup, table
from robust_jax.report.gathering import gathered
from robust_jax.report.grouping import Group, Mean, grouped, is_measured, mean_of

_SPREADS = {"standard deviation": "std", "standard error": "sem"}
_PER_CENT = 100


@dataclasses.dataclass(frozen=True)
class ResultsTable:
    """Groups of rows, one of each run, with the mean of what was measured.

    A cell of one run is what its record has. Of several it is the mean, ± the spread
    over runs; brackets then reach from the lowest to the highest end of their 95 %
    intervals over examples.

    Attributes:
        keys: columns that say what a row is of.
        measured: columns of what was found.
        groups: the rows.
        spread: "standard deviation" (of a sample, n - 1) or "standard error".
    """

    keys: tuple[str, ...]
    measured: tuple[str, ...]
    groups: tuple[Group, ...]
    spread: str

    @property
    def note(self) -> str:
        """What the cells are, in one sentence, for a caption."""
        several = sorted({len(g.rows) for g in self.groups if len(g.rows) > 1})
        interval = "brackets hold 95 % intervals over examples"
        if not several:
            return f"One run each; {interval}."
        numbers = " or ".join(map(str, several))
        return (
            f"Mean ± {self.spread} over {numbers} runs; {interval}, of several runs "
            "from the lowest end to the highest."
        )

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Headings, and the text of every cell."""
        runs = ["runs"] * self._counts_runs
        names = [*self.keys, *runs, *self.measured]
        titles = [name.replace("_", " ") for name in names]
        return titles, [self._line(group) for group in self.groups]

    def markdown(self) -> str:
        """As Markdown, with the note below."""
        titles, lines = self.cells()
        numbers = len(titles) - len(self.keys)
        sides = ["---"] * len(self.keys) + ["---:"] * numbers
        rows = [list(map(escaping.markdown, line)) for line in (titles, *lines)]
        rows.insert(1, sides)
        text = "".join(f"| {' | '.join(row)} |\n" for row in rows)
        return f"{text}\n{escaping.markdown(self.note)}\n"

    def latex(self, caption: str | None = None, label: str | None = None) -> str:
        r"""As a LaTeX tabular, in a table if there is a caption.

        Needs `\usepackage{booktabs}`; text is set as it stands, the caption is yours.
        """
        titles, lines = self.cells()
        sides = "l" * len(self.keys) + "r" * (len(titles) - len(self.keys))
        head, *rows = map(_latex_line, (titles, *lines))
        tabular = (
            f"% {self.note}\n\\begin{{tabular}}{{{sides}}}\n\\toprule\n{head}"
            f"\\midrule\n{''.join(rows)}\\bottomrule\n\\end{{tabular}}\n"
        )
        if caption is None:
            return tabular
        named = "" if label is None else f"\\label{{{label}}}\n"
        return (
            f"\\begin{{table}}\n\\centering\n\\caption{{{caption}}}\n{named}"
            f"{tabular}\\end{{table}}\n"
        )

    def csv(self) -> str:
        """As comma-separated values, see `flat`."""
        rows, file = self.flat(), io.StringIO()
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return file.getvalue()

    def frame(self) -> Any:
        """As a `pandas.DataFrame`, see `flat`.

        Raises: ImportError: pandas is not installed.
        """
        return needed("pandas", "pages", "a frame of results").DataFrame(self.flat())

    def flat(self) -> list[dict[str, Any]]:
        """A mapping of plain numbers for each row, all with the same keys.

        The number of runs; then for each measured NAME the mean, and where there are
        some NAME_std or NAME_sem over runs, NAME_low and NAME_high of the intervals.
        Of one run they are the very numbers of its record.
        """
        suffix = _SPREADS[self.spread]
        means = [{n: mean_of(g.values(n)) for n in self.measured} for g in self.groups]
        rows = [{**group.key, "runs": len(group.rows)} for group in self.groups]
        for name in self.measured:
            column = [mean[name] for mean in means]
            parts = {
                name: [None if m is None else m.mean for m in column],
                f"{name}_{suffix}": [m and self._spread_of(m) for m in column],
                f"{name}_low": [m and m.low for m in column],
                f"{name}_high": [m and m.high for m in column],
            }
            for key, values in parts.items():
                if key == name or any(value is not None for value in values):
                    for row, value in zip(rows, values, strict=True):
                        row[key] = value
        return rows

    def __str__(self) -> str:
        return f"{table.for_terminal(self._texts())}\n{self.note}"

    def _repr_html_(self) -> str:
        return markup.notebook(self.note, self._texts())

    @property
    def _counts_runs(self) -> bool:
        return len({len(group.rows) for group in self.groups}) > 1

    def _texts(self) -> list[dict[str, str]]:
        titles, lines = self.cells()
        return [dict(zip(titles, line, strict=True)) for line in lines]

    def _spread_of(self, mean: Mean) -> float | None:
        is_error = self.spread == "standard error"
        return mean.error if is_error else mean.deviation

    def _line(self, group: Group) -> list[str]:
        keys = [table.auto(group.key.get(name)) for name in self.keys]
        runs = [str(len(group.rows))] * self._counts_runs
        return keys + runs + [self._cell(group, name) for name in self.measured]

    def _cell(self, group: Group, name: str) -> str:
        values = group.values(name)
        mean = mean_of(values)
        if mean is None or len(values) == 1:
            text = table.auto(values[0] if values else None)
        elif table.is_proportion(values[0]):
            text = self._mean(mean, _PER_CENT, ".1f", " %")
        else:
            text = self._mean(mean, 1, ".4g")
        of = f" (of {len(values)})" if 0 < len(values) < len(group.rows) else ""
        return text + of

    def _mean(self, mean: Mean, factor: int, digits: str, unit: str = "") -> str:
        def told(value: float) -> str:
            return format(factor * value, digits)

        text = f"{told(mean.mean)}{unit} ± {told(self._spread_of(mean) or 0.0)}"
        if mean.low is None or mean.high is None:
            return text
        return f"{text} [{told(mean.low)}, {told(mean.high)}]"


def _latex_line(cells: Sequence[str]) -> str:
    line = " & ".join(map(escaping.latex, cells))
    # After the line before, a bracket would be an argument of its end.
    return f"{'{}' * line.startswith('[')}{line} \\\\\n"


def results_table(
    runs: Any,
    columns: Sequence[str] | None = None,
    *,
    by: Sequence[str] | None = None,
    where: Mapping[str, Any] | None = None,
    spread: str = "standard deviation",
) -> ResultsTable:
    """The rows of runs in one table; those that differ only in the seed are one row.

    Rows that would be equal but for other flags are told apart by these flags, which
    become columns. `print` shows it; `markdown`, `latex`, `csv` and `frame` give it on.

    Args:
        runs: a record, its path or folder, or a result with `to_record` such as a
            report; or several in a list.
        columns: of what was measured, in this order; by default all of numbers.
        by: the columns that tell rows apart, for example ("threat", "attack") over nets
            of several seeds; by default texts and settings such as n and eps.
        where: values of columns, or lists of them, such as {"attack": "worst case"};
            other rows are left out.
        spread: "standard deviation" or "standard error", over runs.
    Raises: ValueError: no run, or one that cannot be read; an unknown column or spread;
        a run that is there twice; `by` that does not tell the rows of a run apart.

    >>> rows = rj.report.results_table(report, ["accuracy"])
    >>> print(rows.csv().splitlines()[1])
    model,linf eps=0.25,3,none,1,1.0,0.4385029682449546,1.0
    """
    if spread not in _SPREADS:
        checks.known_name("spread", spread, tuple(_SPREADS))
    groups = grouped(gathered(runs), by, where or {})
    names = dict.fromkeys(
        name for group in groups for row in group.rows for name in row
    )
    found = {name: [v for g in groups for v in g.values(name)] for name in names}
    keys = tuple(dict.fromkeys(name for group in groups for name in group.key))
    measured = [n for n in found if n not in keys and is_measured(n, found[n])]
    for name in columns or ():
        checks.known_name("column", name, measured)
    return ResultsTable(keys, tuple(columns or measured), tuple(groups), spread)
