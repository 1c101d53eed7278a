"""What each study has to find, in one place. `--check` fails where one does not hold.

Bounds were set before these nets were trained, well inside what a smaller study
measured once; none was moved to let a result pass. On the digits, of which there are
few and small ones, only the orderings count: their distance of FC10(1), 1.33 times the
exact one, stands in the table of `minimal` and has no gate. A study without a row has
none either.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.studies.properties import gates_of_errors, gates_of_meaning
from experiments.studies.properties.gate import Gate
from robust_jax import report

GATES = gates_of_errors.GATES + gates_of_meaning.GATES
_COLUMNS = (
    report.Column("study", "study"),
    report.Column("value", "value"),
    report.Column("found", "found", report.fixed(3)),
    report.Column("expected", "expected"),
    report.Column("passed", "passed"),
    report.Column("paper", "paper's"),
)


def judged(
    dataset: str, studies: Sequence[str], values: Mapping[str, Mapping[str, float]]
) -> list[dict[str, Any]]:
    """A row for each gate of these studies on this data set."""
    rows = []
    for study in studies:
        gates = [g for g in GATES if g.study == study and dataset in g.datasets]
        rows += [_row(gate, values[study][gate.value]) for gate in gates]
        if not gates:
            none = {"study": study, "value": "no gate", "found": None, "passed": None}
            rows.append(none | {"expected": "-", "paper": "-"})
    return rows


def columns(paper: bool) -> tuple[report.Column, ...]:
    """Those of the table, with or without the paper's."""
    return _COLUMNS if paper else _COLUMNS[:-1]


def _row(gate: Gate, found: float) -> dict[str, Any]:
    if math.isinf(gate.high):
        expected = f">= {gate.low:g}"
    elif math.isinf(gate.low):
        expected = f"<= {gate.high:g}"
    else:
        expected = f"{gate.low:g} to {gate.high:g}"
    return {
        "study": gate.study,
        "value": gate.value,
        "found": found,
        "expected": expected,
        "passed": gate.low <= found <= gate.high,
        "paper": gate.paper,
    }
