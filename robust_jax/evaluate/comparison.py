"""Several models under one plan, in one report."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from robust_jax.core import array_checks, checks, layout, records
from robust_jax.core.types import Threat
from robust_jax.evaluate.model import SAMPLES, adapted, admitted
from robust_jax.evaluate.report import COLUMNS, Report
from robust_jax.evaluate.robustness import robustness
from robust_jax.report import markup, table, write_run


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The reports of several models on the same examples, by name.

    >>> two = rj.evaluate.Comparison({"net": report, "the same": report})
    >>> two.passed, len(two.rows())
    (True, 6)
    """

    reports: dict[str, Report]

    def rows(self) -> list[dict[str, Any]]:
        """The rows of every report, one model after the other."""
        return [row for report in self.reports.values() for row in report.rows()]

    @property
    def passed(self) -> bool:
        """Whether nothing contradicts the numbers of any report."""
        return all(report.passed for report in self.reports.values())

    def _repr_html_(self) -> str:
        cited = [f"{name}: {one.citation()}" for name, one in self.reports.items()]
        doubts = [name for name, one in self.reports.items() if one.distrust]
        verdict = "" if not doubts else f", not to be trusted of {', '.join(doubts)}"
        of = f"Robustness of {len(cited)} models{verdict}"
        return markup.notebook(of, self.rows(), COLUMNS, cited)

    def __str__(self) -> str:
        lines = [table.for_terminal(self.rows(), COLUMNS)]
        for name, report in self.reports.items():
            lines += [] if report.origin is None else [f"{name}: {report.origin}"]
            lines.append(f"{name}: {report.citation()}")
            lines.append(f"{name}, claims: {report.claims}")
            if report.audit is not None:
                lines.append(f"{name}, {report.audit.summary()}")
        return "\n".join(lines)

    def to_record(self) -> records.Record:
        """The record that `save` writes: the rows of all, each report in `series`."""
        each = {name: report.to_record() for name, report in self.reports.items()}
        names = ", ".join(each)
        return records.Record(
            schema=records.SCHEMA,
            experiment="compare",
            title=f"Robustness of {names}",
            summary=" ".join(f"{name}: {one['summary']}" for name, one in each.items()),
            command="called from Python: robust_jax.evaluate.compare, see the flags",
            flags={name: one["flags"] for name, one in each.items()},
            environment=records.environment(),
            rows=self.rows(),
            series={
                "evaluations": {
                    k: one["series"]["evaluation"] for k, one in each.items()
                }
            },
            notes=[f"{k}: {note}" for k, one in each.items() for note in one["notes"]],
            figures=[],
            seconds=sum(one["seconds"] for one in each.values()),
        )

    def save(self, out: records.PathLike, classes: Any = None) -> pathlib.Path:
        """Writes record.json and index.html of all, and OUT/NAME of each report.

        Args:
            out: the folder.
            classes: see `Report.save`, which writes the folders of the reports.
        Raises: ValueError: if `out` cannot be written.
        """
        folder = records.prepare_out_dir(out)
        for name, report in self.reports.items():
            report.save(folder / name, classes)
        write_run(folder, self.to_record(), columns=COLUMNS)
        return folder


def compare(
    models: Mapping[str, Any],
    images: Any,
    labels: Any,
    threat: Threat,
    *,
    journal: records.PathLike | None = None,
    **options: Any,
) -> Comparison:
    """Evaluates each model by `robustness`, on the same examples and keys.

    Models of one architecture whose weights are data (`jax.tree_util.Partial`) share
    their compiled programs.

    Args:
        models: by name, which must be fit for a file's name.
        images, labels, threat: see `robustness`.
        journal: a folder, with one below it for each model; see `robustness`.
        options: further arguments of `robustness`, the same for all.
    Guarantees: none is judged before all have been looked at.
    Raises: ValueError: no models; a name with a separator; what `robustness` raises.

    >>> given = {"net": net, "again": net}, images, labels, rj.threats.Linf(0.25)
    >>> plan = (rj.evaluate.Stage("fgsm", rj.attacks.fgsm()),)
    >>> found = rj.evaluate.compare(*given, plan=plan, audit=False)
    >>> [report.robust_accuracy.value for report in found.reports.values()]
    [0.333, 0.333]
    """
    checks.instance("models", models, Mapping, "models by name, {name: model}")
    if not models:
        raise ValueError("models={}; expected at least one model, by name")
    batch = array_checks.batch(images)
    given = {"takes": None, "samples": SAMPLES, "seed": 0, **options}
    how = given["takes"], given["samples"], given["seed"]
    for name, model in models.items():
        is_name = isinstance(name, str) and name
        if not is_name or pathlib.PurePath(name).name != name:
            raise ValueError(
                f"models[{checks.shown(name)}]; expected a name fit for a file"
            )
        function, said = admitted(model, f"models[{name!r}]")
        layout.check_shape(said, batch.shape)
        inside = layout.to_last(batch) if layout.is_first(said) else batch
        adapted(function, inside, *how, name=f"models[{name!r}]")
    if journal is not None:
        records.names_a_folder("journal", journal)
    folder = None if journal is None else pathlib.Path(journal)
    return Comparison(
        {
            name: robustness(
                model,
                images,
                labels,
                threat,
                name=name,
                journal=None if folder is None else folder / name,
                **options,
            )
            for name, model in models.items()
        }
    )
