"""The list of all checks, and a run of it over one evaluation."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from robust_jax.core import checks as arguments
from robust_jax.evaluate.audit import (
    attack_checks,
    boundary_checks,
    model_checks,
    path_checks,
    report_checks,
    search_checks,
    spending,
)
from robust_jax.evaluate.audit.finding import (
    FLAG,
    PASS,
    SKIPPED,
    Check,
    Finding,
    checks_of,
)
from robust_jax.evaluate.audit.subject import Bench, LateError, Subject
from robust_jax.report import markup, table

POINTS = 128  # Two tiles; a share of them is known to within 9 points.
_LATE = "The time limit came first."
_COLUMNS = (
    table.Column("number", "no."),
    table.Column("name", "check"),
    table.Column("points", "points"),
    table.Column("verdict", "verdict"),
    table.Column("value", "value"),
    table.Column("limit", "limit"),
)

CHECKS = checks_of(
    model_checks,
    report_checks,
    attack_checks,
    search_checks,
    path_checks,
    boundary_checks,
)


@dataclasses.dataclass(frozen=True)
class Audit:
    """What all checks found, and what asking cost.

    `str` gives a table of the checks, a sentence and a remedy for each flag, and one
    line of summary.

    >>> finding = rj.evaluate.Finding(1, "repeats", "pass", 0.0, "0", "Equal.", "None.")
    >>> audit = rj.evaluate.Audit((finding,), 16, forwards=32, backwards=0, seconds=0.1)
    >>> audit.passed, audit.flags
    (True, ())
    """

    findings: tuple[Finding, ...]
    points: int  # the most examples that a check looked at; `findings` have each one's
    forwards: int  # model evaluations of the audit
    backwards: int  # gradients of the audit
    seconds: float  # wall time, compilation included
    undone: int = 0  # checks that a time limit left undone; skipped among the findings
    share: float | None = None  # its cost over the plan's

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
        rows = [row | {"points": row["points"] or None} for row in rows]
        return [r | {"value": None} if r["verdict"] == SKIPPED else r for r in rows]

    def __str__(self) -> str:
        flags = [
            f"flag {f.number}, {f.name}: {f.says} Remedy: {f.remedy}"
            for f in self.flags
        ]
        if self.findings and self.undone == len(self.findings):
            return self.summary()
        lines = [table.for_terminal(self.rows(), _COLUMNS), *flags, self.summary()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Audit({self.summary()})"

    def _repr_html_(self) -> str:
        lines = [f"{f.number}, {f.name}: {f.says} {f.remedy}" for f in self.flags]
        return markup.notebook(self.summary(), self.rows(), _COLUMNS, lines)

    def summary(self) -> str:
        """How many checks passed, and the cost, in one line."""
        verdicts = [f.verdict for f in self.findings]
        late = f", {self.undone} of them for want of time" if self.undone else ""
        share = "" if self.share is None else f", {self.share:.0%} of the plan's cost"
        return (
            f"audit: {verdicts.count(PASS)} checks passed, {verdicts.count(FLAG)} "
            f"flagged, {verdicts.count(SKIPPED)} skipped{late}; {self._looked_at()} "
            f"points, {self.forwards:,} forwards, {self.backwards:,} backwards{share}, "
            f"{self.seconds:.1f} s"
        )

    def _looked_at(self) -> str:
        fewest = min((f.points for f in self.findings if f.points), default=0)
        return f"{fewest} to {self.points}" if fewest < self.points else f"{fewest}"

    def to_json(self) -> dict[str, Any]:
        """What a record keeps: every finding with its sentences, and the cost."""
        findings = [finding._asdict() for finding in self.findings]
        return {"passed": self.passed, **vars(self), "findings": findings}


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

    The expensive checks look at a subset that the ids choose, so that the order of the
    examples does not matter; all draws come from keys of the examples. With a budget a
    check begins with 16 of them, see `spending` for who gets more.
    Guarantees: the same findings for any order of the examples; a check that raises is
    a flag with the error's first line, and the others still run; a check that is left
    out for its cost says so.
    Edge cases: fewer right examples than `points` are all looked at; a budget below
    what 16 points of the cheapest checks cost is overstepped.

    Args:
        subject: a model and an evaluation of it.
        points: the most that a check looks at, an integer >= 1.
        budget: forward-equivalents (a backward is two) that the audit may cost. None is
            no limit: all checks look at all points.
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
    start = time.perf_counter()
    asking = _Asking(subject, points, budget, seconds_left)
    findings: dict[int, Finding] = {}
    turns = [spending.order(check.number) for check in checks]
    for place in sorted(range(len(checks)), key=turns.__getitem__):
        findings[place] = asking.first(checks[place])
        on_check(len(findings) / len(checks))
    asking.widen(findings, checks)
    in_order = tuple(findings[place] for place in range(len(checks)))
    undone = sum(finding.says == _LATE for finding in in_order)
    seconds = time.perf_counter() - start
    most = max((finding.points for finding in in_order), default=0)
    most = max(most, asking.most)
    return Audit(in_order, most, *asking.cost, seconds, undone, asking.share_of_plan)


class _Asking:
    """One run of the checks, within a budget of model calls and of time."""

    def __init__(
        self,
        subject: Subject,
        points: int,
        budget: float | None,
        seconds_left: Callable[[], float],
    ) -> None:
        self._subject, self._points, self._budget = subject, points, budget
        self._seconds_left, self._longest = seconds_left, 0.0
        self._asked: set[int] = set()
        few = points if budget is None else min(points, spending.FEWEST)
        self._benches = [Bench(subject, few, seconds_left)]

    @property
    def most(self) -> int:
        """Points of the largest bench."""
        return max(len(bench) for bench in self._benches)

    @property
    def cost(self) -> tuple[int, int]:
        """Forwards and backwards of all benches."""
        forwards = sum(bench.forwards for bench in self._benches)
        return forwards, sum(bench.backwards for bench in self._benches)

    @property
    def share_of_plan(self) -> float:
        """The cost over that of the plan."""
        forwards, backwards = self.cost
        return (forwards + 2 * backwards) / self._subject.cost

    @property
    def _left(self) -> float:
        """Of the budget, for one sample of a random model."""
        if self._budget is None:
            return math.inf
        forwards, backwards = self.cost
        return (self._budget - forwards - 2 * backwards) / self._subject.samples

    def first(self, check: Check) -> Finding:
        """The answer of a check that has not been asked yet."""
        bench, number = self._benches[0], check.number
        if self._seconds_left() <= self._longest:
            return check.unasked(_LATE)
        why = self._subject.no_gradient
        if why is not None and number in spending.BY_GRADIENTS:
            return check.unasked(f"The model has no gradient ({why}).")
        if check.known(self._subject) is None and not self._can_afford(number):
            price, left = spending.price(number, len(bench)), max(self._left, 0)
            return check.unasked(
                f"{len(bench)} points may cost {price:,} forwards, and {left:,.0f} are "
                "left of the audit's share of the plan's cost: "
                "report.audit_again(points=...) asks it."
            )
        self._asked.add(number)
        return self._timed(check, bench)

    def _can_afford(self, number: int) -> bool:
        few, is_open = len(self._benches[0]), bool(self._subject.robust.any())
        return spending.affordable(number, few, self._left, self._asked, is_open)

    def widen(self, findings: dict[int, Finding], checks: Sequence[Check]) -> None:
        """Asks checks again about more points while the budget lasts.

        Args:
            findings: by place among the checks; wider ones take their places.
            checks: all of the audit.
        """
        if self._budget is None:
            return
        most = min(self._points, int(self._subject.clean.sum()))
        while True:
            extension = spending.next_extension(findings.values(), most, self._left)
            if extension is None or self._seconds_left() <= self._longest:
                return
            place = next(k for k, f in findings.items() if f.number == extension.number)
            wider = self._timed(checks[place], self._bench(extension.points))
            if wider.says == _LATE:
                return  # What fewer points said stands.
            findings[place] = wider

    def _bench(self, points: int) -> Bench:
        for bench in self._benches:
            if len(bench) == points:
                return bench
        inner = max((b for b in self._benches if len(b) < points), key=len)
        wide = Bench(self._subject, points, self._seconds_left, inner)
        self._benches.append(wide)
        return wide

    def _timed(self, check: Check, bench: Bench) -> Finding:
        began = time.perf_counter()
        finding = _asked(check, bench)
        self._longest = max(self._longest, time.perf_counter() - began)
        asks = spending.uses_points(finding.number) and finding.verdict != SKIPPED
        if finding.points or not asks:  # The plan's own points, or none.
            return finding
        return finding._replace(points=len(bench))


def _asked(check: Check, bench: Bench) -> Finding:
    try:
        return check(bench)
    except LateError:
        return check.unasked(_LATE)
    except Exception as error:  # One broken check must not hide what the others found.
        line = next(iter(str(error).splitlines()), "")
        return check.unasked(
            f"The check ended with {type(error).__name__}: {line}."
        )._replace(
            verdict=FLAG,
            limit="no error",
            remedy="Mend the cause: until then this property of the evaluation is "
            "unknown.",
        )
