"""From an evaluation to its audit, and to further ones with more points."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jax.tree_util import Partial

from robust_jax.core import checks
from robust_jax.evaluate.audit import POINTS, Audit, Subject, run_audit
from robust_jax.evaluate.audit.subject import why_no_gradient
from robust_jax.evaluate.engine import Examples
from robust_jax.evaluate.evaluation import Evaluation
from robust_jax.evaluate.model import adapted, classes_of, is_as_it_was
from robust_jax.evaluate.report import Report

AUDIT_SHARE = 0.25  # Of the plan's cost; what the checks may spend.


@dataclasses.dataclass(frozen=True)
class Auditor:
    """What an audit asks of an evaluation, and a report does not keep.

    The net of one example is the one of the evaluation; its batch form, which is
    called as it is, is asked as long as it is that net.

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
        """The audit of a report of the evaluation, what is given checked before."""
        surrogate = self.surrogate if surrogate is None else surrogate
        certified = self.certified if certified is None else certified
        subject = _subject(self.run, report, surrogate, certified)
        return run_audit(
            subject,
            points=POINTS if points is None else points,
            budget=AUDIT_SHARE * subject.cost if points is None else None,
            on_check=on_check,
            seconds_left=seconds_left,
        )

    def again(
        self,
        report: Report,
        points: int | None = None,
        *,
        surrogate: Any = None,
        certified: Any = None,
    ) -> Audit:
        """As the call, of what a user gives; see `Report.audit_again`."""
        examples = self.run.examples
        check_points(points, True)
        if certified is not None:
            certified = checks.marks("certified", certified, len(examples.labels))
        surrogate = settled(surrogate, examples.images, report.seed)
        check_classes(surrogate, examples)
        _check_unchanged(self.run, report)
        return self(report, points, surrogate=surrogate, certified=certified)


def settled(surrogate: Any, images: np.ndarray, seed: int) -> Partial | None:
    """A surrogate as it is now, if there is one.

    Raises: ValueError, TypeError: no net of one image that can be differentiated.
    """
    if surrogate is None:
        return None
    net = adapted(surrogate, images, "example", 1, seed, name="surrogate").logits_fn
    why = why_no_gradient(net, images[0])
    if why is not None:
        raise ValueError(
            f"surrogate=... cannot be differentiated ({why}); expected a plain net in "
            "JAX, such as the net without its defence"
        )
    return net


def check_classes(surrogate: Partial | None, examples: Examples) -> None:
    """Raises ValueError for a surrogate of other classes than the model's."""
    if surrogate is None:
        return
    given, classes = classes_of(surrogate, examples.images[0]), examples.logits.shape[1]
    if given != classes:
        raise ValueError(
            f"surrogate=... gives {given} logits; expected the model's {classes}"
        )


def _check_unchanged(run: Evaluation, report: Report) -> None:
    """Raises ValueError where images or net are no longer those of the report."""
    left = report.winner < 0  # Whose x_adv is a copy of the clean image.
    if not np.array_equal(run.examples.images[left], report.x_adv[left]):
        raise ValueError(
            "images: the array was written to since the report; evaluate again"
        )
    if not is_as_it_was(run.model, run.examples.images[0]):
        raise ValueError(
            "model: it is another one than when the report was made, such as by "
            "weights that it looks up; evaluate again"
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
    examples, image = run.examples, run.examples.images[0]
    return Subject(
        model=run.model.logits_fn,
        batch_model=run.model.batch_fn if is_as_it_was(run.model, image) else None,
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
        plan=run.plan,
    )
