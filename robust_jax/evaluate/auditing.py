"""From an evaluation to its audit, and to further ones with more points."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from robust_jax.core import checks
from robust_jax.evaluate.audit import POINTS, Audit, Subject, run_audit
from robust_jax.evaluate.evaluation import Evaluation
from robust_jax.evaluate.hard_label import hard_label
from robust_jax.evaluate.report import Report
from robust_jax.evaluate.stages import Stage

AUDIT_SHARE = 0.25  # Of the plan's cost; what the checks may spend.


@dataclasses.dataclass(frozen=True)
class Auditor:
    """What an audit asks of an evaluation, and a report does not keep.

    Attributes:
        run: the evaluation.
        surrogate: a plain net of one example, for transfer.
        certified: shape [N] bool, examples that are proved robust.
    """

    run: Evaluation
    surrogate: Any = None
    certified: np.ndarray | None = None

    def __call__(
        self,
        report: Report,
        points: int | None = None,
        *,
        surrogate: Any = None,
        certified: Any = None,
        on_check: Callable[[float], None] = lambda share: None,
        seconds_left: Callable[[], float] = lambda: math.inf,
    ) -> Audit:
        """The audit of a report of the evaluation; see `Report.audit_again`."""
        surrogate = self.surrogate if surrogate is None else surrogate
        certified = self.certified if certified is None else np.asarray(certified)
        budget = None
        if points is None:
            points = POINTS
            plan = report.forwards + 2 * report.backwards
            budget = AUDIT_SHARE * plan
        return run_audit(
            _subject(self.run, report, surrogate, certified),
            points=points,
            budget=budget,
            on_check=on_check,
            seconds_left=seconds_left,
        )


def check_points(points: int | None, audit: bool) -> None:
    """Raises ValueError for points that no audit can look at."""
    if points is None:
        return
    checks.positive_integer("points", points)
    if not audit:
        raise ValueError(
            f"points={points} with audit=False; expected audit=True: points are what "
            "the audit looks at; leave points out, or ask report.audit_again(points="
            f"{points}) later"
        )


def _subject(
    run: Evaluation, report: Report, surrogate: Any, certified: np.ndarray | None
) -> Subject:
    examples = run.examples
    return Subject(
        model=run.model.logits_fn,
        batch_model=run.model.batch_fn,
        threat=run.threat,
        images=examples.images,
        labels=examples.labels,
        ids=examples.ids,
        logits=examples.logits,
        clean=report.clean,
        stages=report.stages,
        x_adv=report.x_adv,
        winner=report.winner,
        claims=report.claims,
        seed=report.seed,
        tile=report.tile,
        samples=report.samples,
        surrogate=surrogate,
        certified=certified,
        by_labels=tuple(k for k, stage in enumerate(run.plan) if _is_blind(stage)),
    )


def _is_blind(stage: Stage) -> bool:
    """Whether a stage sees labels alone."""
    return bool(stage.attack == hard_label(stage.attack.steps))
