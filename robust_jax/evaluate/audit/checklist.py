"""The list of all checks, and a run of it over one evaluation."""

import dataclasses
import math
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
    LateError,
    Subject,
    skipped,
)
from robust_jax.report import table

POINTS = 128  # Two tiles; a share of them is known to within 9 points.
_FEWEST = 16  # Below it a share of the points says nothing.
_PER_POINT = 3_000  # Forward-equivalents of all checks; 2,341 where no point falls.
_LATE = "The time limit came first."
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
    undone: int = 0  # checks that a time limit left undone; skipped among the findings

    @property
    def flags(self) -> tuple[Finding, ...]:
        """The findings that ask for something to be done."""
        return tuple(f for f in self.findings if f.verdict == FLAG)

    @property
    def passed(self) -> bool:
        """No flag, and no check left undone."""
        return not self.flags and not self.undone

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
        if self.findings and self.undone == len(self.findings):
            return self.summary()
        lines = [table.format_table(self.rows(), _COLUMNS), *flags, self.summary()]
        return "\n".join(lines)

    def summary(self) -> str:
        """How many checks passed, and the cost, in one line."""
        verdicts = [f.verdict for f in self.findings]
        late = f", {self.undone} of them for want of time" if self.undone else ""
        return (
            f"audit: {verdicts.count(PASS)} checks passed, {verdicts.count(FLAG)} "
            f"flagged, {verdicts.count(SKIPPED)} skipped{late}; {self.points} points, "
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
            "undone": self.undone,
        }


def run_audit(
    subject: Subject,
    *,
    points: int = POINTS,
    budget: float | None = None,
    checks: Sequence[Check] = CHECKS,
    on_check: Callable[[float], None] = lambda share: None,
    seconds_left: Callable[[], float] = lambda: math.inf,
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
        seconds_left: before a time limit. A check that it interrupts, or before which
            fewer are left than the longest one so far took, is skipped and undone.
    Returns: findings in the order of the checks, and the cost.
    Raises: ValueError: points below 1, or a budget that is not above 0.
    """
    arguments.positive_integer("points", points)
    if budget is not None:
        arguments.positive_number("budget", budget)
        each = _PER_POINT * subject.samples
        points = min(points, max(_FEWEST, int(budget / each)))
    start = time.perf_counter()
    bench = Bench(subject, points, seconds_left)
    findings: list[Finding] = []
    longest = 0.0
    for check in checks:
        began, is_late = time.perf_counter(), seconds_left() <= longest
        findings.append(_late(check) if is_late else _asked(check, bench))
        longest = max(longest, time.perf_counter() - began)
        on_check(len(findings) / len(checks))
    seconds = time.perf_counter() - start
    undone = sum(finding.says == _LATE for finding in findings)
    cost = bench.forwards, bench.backwards
    return Audit(tuple(findings), len(bench), *cost, seconds, undone)


def _asked(check: Check, bench: Bench) -> Finding:
    try:
        return check(bench)
    except LateError:
        return _late(check)
    except Exception as error:  # One broken check must not hide what the others found.
        line = next(iter(str(error).splitlines()), "")
        return Finding(
            *_named(check),
            FLAG,
            float("nan"),
            "no error",
            f"The check ended with {type(error).__name__}: {line}.",
            "Mend the cause: until then this property of the evaluation is unknown.",
        )


def _late(check: Check) -> Finding:
    return skipped(*_named(check), _LATE)


def _named(check: Check) -> tuple[int, str]:
    """The number and the name of a check that has not answered."""
    number = next((n for n, known in _numbered.items() if known is check), 0)
    return number, getattr(check, "__name__", "check").replace("_", " ")
