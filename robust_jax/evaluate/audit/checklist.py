"""The list of all checks, and a run of it over one evaluation."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

from robust_jax.core import checks as arguments
from robust_jax.evaluate.audit import (
    attack_checks,
    boundary,
    model_checks,
    path_checks,
    report_checks,
)
from robust_jax.evaluate.audit.subject import (
    FLAG,
    PASS,
    SKIPPED,
    Bench,
    Check,
    Finding,
    Subject,
)
from robust_jax.report import table

POINTS = 128  # Two tiles; a share of them is known to within 9 points.
_FEWEST = 16  # Below it a share of the points says nothing.
_PER_POINT = 3_000  # Forward-equivalents of all checks; 2,341 where no point falls.
_NUMBERS = {
    model_checks: (1, 2, 3, 5, 6, 18),
    report_checks: (4, 7, 20, 23, 24, 25, 26),
    attack_checks: (8, 9, 10, 11, 12, 13, 14, 17),
    path_checks: (15, 16, 19, 21, 22),
    boundary: (27,),
}
_COLUMNS = (
    table.Column("number", "no."),
    table.Column("name", "check"),
    table.Column("verdict", "verdict"),
    table.Column("value", "value"),
    table.Column("limit", "limit"),
)

_numbered: dict[int, Check] = {
    number: check
    for module, numbers in _NUMBERS.items()
    for number, check in zip(numbers, module.CHECKS, strict=True)
}
CHECKS: tuple[Check, ...] = tuple(_numbered[number] for number in range(1, 28))


@dataclasses.dataclass(frozen=True)
class Audit:
    """What all checks found, and what asking cost.

    `str` gives a table of the checks, a sentence and a remedy for each flag, and one
    line of summary.
    """

    findings: tuple[Finding, ...]
    points: int  # examples that the dear checks looked at
    forwards: int  # model evaluations of the audit
    backwards: int  # gradients of the audit
    seconds: float  # wall time, compilation included

    @property
    def flags(self) -> tuple[Finding, ...]:
        """The findings that ask for something to be done."""
        return tuple(f for f in self.findings if f.verdict == FLAG)

    @property
    def passed(self) -> bool:
        """No flag."""
        return not self.flags

    def rows(self) -> list[dict[str, Any]]:
        """One row per check, without its sentences."""
        keys = [column.key for column in _COLUMNS]
        rows = [{key: getattr(f, key) for key in keys} for f in self.findings]
        return [r | {"value": None} if r["verdict"] == SKIPPED else r for r in rows]

    def __str__(self) -> str:
        flags = [
            f"flag {f.number}, {f.name}: {f.says} Remedy: {f.remedy}"
            for f in self.flags
        ]
        lines = [table.format_table(self.rows(), _COLUMNS), *flags, self.summary()]
        return "\n".join(lines)

    def summary(self) -> str:
        """How many checks passed, and the cost, in one line."""
        verdicts = [f.verdict for f in self.findings]
        return (
            f"audit: {verdicts.count(PASS)} checks passed, {verdicts.count(FLAG)} "
            f"flagged, {verdicts.count(SKIPPED)} skipped; {self.points} points, "
            f"{self.forwards:,} forwards, {self.backwards:,} backwards, "
            f"{self.seconds:.1f} s"
        )

    def to_json(self) -> dict[str, Any]:
        """What a record keeps: every finding with its sentences, and the cost."""
        return {
            "passed": self.passed,
            "findings": [finding._asdict() for finding in self.findings],
            "points": self.points,
            "forwards": self.forwards,
            "backwards": self.backwards,
            "seconds": self.seconds,
        }


def run_audit(
    subject: Subject,
    *,
    points: int = POINTS,
    budget: float | None = None,
    checks: Sequence[Check] = CHECKS,
    on_check: Callable[[float], None] = lambda share: None,
) -> Audit:
    """Asks every check about an evaluation.

    The dear checks look at a subset that the ids choose, so that the order of the
    examples does not matter; all draws come from keys of the examples.
    Guarantees: the same findings for any order of the examples; a check that raises is
    a flag with the error's first line, and the others still run.
    Edge cases: fewer right examples than `points` are all looked at; a budget below
    what 16 points cost is overstepped.

    Args:
        subject: a model and an evaluation of it.
        points: size of the subset, an integer >= 1.
        budget: forward-equivalents (a backward is two) that the audit may cost; it
            lowers the number of points, to 16 at the least. None is no limit.
        checks: which ones, in this order.
        on_check: called after each check with the share of them that is over.
    Returns: findings in the order of the checks, and the cost.
    Raises: ValueError: points below 1, or a budget that is not above 0.
    """
    arguments.positive_integer("points", points)
    if budget is not None:
        arguments.positive_number("budget", budget)
        each = _PER_POINT * subject.samples
        points = min(points, max(_FEWEST, int(budget / each)))
    start = time.perf_counter()
    bench = Bench(subject, points)
    findings = []
    for check in checks:
        findings.append(_asked(check, bench))
        on_check(len(findings) / len(checks))
    seconds = time.perf_counter() - start
    return Audit(tuple(findings), len(bench), bench.forwards, bench.backwards, seconds)


def _asked(check: Check, bench: Bench) -> Finding:
    try:
        return check(bench)
    except Exception as error:  # One broken check must not hide what the others found.
        name = getattr(check, "__name__", "check").replace("_", " ")
        number = next((n for n, known in _numbered.items() if known is check), 0)
        line = next(iter(str(error).splitlines()), "")
        return Finding(
            number,
            name,
            FLAG,
            float("nan"),
            "no error",
            f"The check ended with {type(error).__name__}: {line}.",
            "Mend the cause: until then this property of the evaluation is unknown.",
        )
