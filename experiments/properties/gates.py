"""What each study has to find, in one table. `--check` fails where one does not hold.

Bounds were set before these nets were trained, well inside what a smaller study
measured once; none was moved to let a result pass. On the digits, of which there are
few and small ones, only the orderings count: their distance of FC10(1), 1.33 times the
exact one, stands in the table of `minimal` and has no gate. A study without a row has
none either.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from robust_jax import report

DIGITS, MNIST = ("digits",), ("mnist",)
BOTH = DIGITS + MNIST


class Gate(NamedTuple):
    """A value of a study has to lie between two bounds."""

    study: str
    value: str  # as the study names it
    low: float = -math.inf
    high: float = math.inf
    datasets: tuple[str, ...] = BOTH
    paper: str = "-"  # the same in the paper, where it tells


GATES = (
    Gate("units", "directions less units", -0.05),
    Gate("units", "gain by training", 0.0, datasets=DIGITS),
    Gate("units", "gain by training", 0.1, datasets=MNIST),
    Gate("units", "AUC of logits", 0.5, datasets=DIGITS),
    Gate("units", "AUC of logits", 0.7, datasets=MNIST),
    Gate("units", "least AUC untrained", 0.35, datasets=MNIST),
    Gate("units", "AUC untrained", high=0.65, datasets=MNIST),
    Gate("dissect", "detectors kept, trained", high=0.8, datasets=MNIST, paper="0.20"),
    Gate("dissect", "detectors kept, untrained", 0.75, 1.25, MNIST),
    Gate("minimal", "share of images moved", 1.0, paper="1"),
    Gate("minimal", "distortion, FC10(1e-4) / FC100", 1.0, paper="1.07"),
    Gate("minimal", "distortion, FC10(1e-2) / FC10(1e-4)", 1.0, paper="1.61"),
    Gate("minimal", "distortion, FC10(1) / FC10(1e-2)", 1.0, paper="1.40"),
    Gate("minimal", "distortion of FC100 / paper's", 0.6, 1.4, MNIST, "1"),
    Gate("minimal", "distortion of FC10(1e-4) / paper's", 0.6, 1.4, MNIST, "1"),
    Gate("minimal", "distortion of FC10(1e-2) / paper's", 0.6, 1.4, MNIST, "1"),
    Gate("minimal", "distortion of FC10(1) / paper's", 0.6, 1.4, MNIST, "1"),
    Gate("minimal", "distortion of FC10 / exact", 0.999, 1.15, MNIST),
    Gate("transfer", "transfer less equal noise", 0.0, datasets=DIGITS),
    Gate("transfer", "transfer less 3 x equal noise", 0.0, datasets=MNIST),
    Gate(
        "transfer",
        "raw error of FC100 on FC10(1)'s",
        0.35,
        datasets=MNIST,
        paper="0.481",
    ),
    Gate("crosstrain", "same data less other data", 0.0, datasets=MNIST, paper="0.203"),
    Gate("crosstrain", "amplified, same data", 0.8, datasets=MNIST, paper="0.98"),
    Gate("crosstrain", "amplified, other data", 0.2, datasets=MNIST, paper="0.43"),
    Gate(
        "crosstrain", "Gaussian of that size", high=0.05, datasets=MNIST, paper="0.028"
    ),
    Gate("confidence", "median wrong confidence, plain net", 0.9),
    Gate("spectral", "product / largest Jacobian", 1.0),
    Gate("spectral", "largest Jacobian / slope", 1.0),
    Gate("align", "cosine, robust / plain", 1.0, datasets=DIGITS),
    Gate("align", "cosine, robust / plain", 1.4, datasets=MNIST),
    Gate("align", "robust error, robust / plain", high=0.7),
    Gate("cka", "rotation's change", high=1e-6),
    Gate("cka", "same layer less best other", 0.0, datasets=DIGITS),
    Gate("cka", "same layer less best other", 0.05, datasets=MNIST),
    Gate("cka", "other seed less untrained", 0.0, datasets=DIGITS),
    Gate("cka", "trained with untrained", high=0.7, datasets=MNIST),
    Gate("gaas", "share adversarial, k=1", 0.8, datasets=MNIST),
    Gate("gaas", "share adversarial, k=4", 0.25, datasets=MNIST),
    Gate("gaas", "share transferring, k=4", 0.08, datasets=MNIST),
    Gate("gaas", "random directions", high=0.03, datasets=MNIST),
    Gate(
        "advpool", "points gained by the best pool", 0.15, datasets=MNIST, paper="0.4"
    ),
    Gate("advpool", "robust error, image pool / plain", high=0.7, datasets=MNIST),
)
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
