"""From an evaluation to its audit, and to further ones with more points."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jax.tree_util import Partial

from robust_jax.core import array_checks, checks, layout, origin
from robust_jax.core.origin import Origin
from robust_jax.evaluate.audit import POINTS, Audit, Subject, run_audit
from robust_jax.evaluate.audit.subject import why_no_gradient
from robust_jax.evaluate.engine import Examples
from robust_jax.evaluate.evaluation import Evaluation
from robust_jax.evaluate.model import adapted, classes_of, is_as_it_was
from robust_jax.evaluate.results import Verdicts
from robust_jax.interop.modules import as_function

AUDIT_SHARE = 0.25  # Of the plan's cost; what the checks may spend.


def audited(
    run: Evaluation,
    found: Verdicts,
    points: int | None = None,
    *,
    surrogate: Any = None,
    certified: Any = None,
    on_check: Callable[[float], None] = lambda share: None,
    seconds_left: Callable[[], float] = lambda: math.inf,
) -> Audit:
    """The audit of what an evaluation found.

    The net of one example is the one of the evaluation; its batch form, which is
    called as it is, is asked as long as it is that net.

    Args:
        run: the evaluation.
        found: by it.
        points: see `robustness`.
        surrogate, certified: by default those of the evaluation; checked before.
        on_check, seconds_left: see `run_audit`.
    """
    examples, net = run.examples, run.model
    subject = Subject(
        model=net.logits_fn,
        threat=run.threat,
        examples=examples,
        found=found,
        batch_model=net.batch_fn if is_as_it_was(net, examples.images[0]) else None,
        surrogate=run.options.surrogate if surrogate is None else surrogate,
        certified=run.options.certified if certified is None else certified,
        plan=run.plan,
    )
    return run_audit(
        subject,
        points=POINTS if points is None else points,
        budget=AUDIT_SHARE * subject.cost if points is None else None,
        on_check=on_check,
        seconds_left=seconds_left,
    )


def again(
    run: Evaluation,
    found: Verdicts,
    points: int | None = None,
    *,
    surrogate: Any = None,
    certified: Any = None,
) -> Audit:
    """As `audited`, of what a user gives; see `Report.audit_again`."""
    check_points(points, True)
    if certified is not None:
        certified = array_checks.marks("certified", certified, len(run.examples.labels))
    surrogate = settled(surrogate, run.examples.images, found.seed, run.model.origin)
    check_classes(surrogate, run.examples)
    _check_unchanged(run, found)
    return audited(run, found, points, surrogate=surrogate, certified=certified)


def settled(
    surrogate: Any, images: np.ndarray, seed: int, said: Origin | None
) -> Partial | None:
    """A surrogate as it is now, if there is one, on channels-last images.

    Args:
        said: of the net whose surrogate it is.
    Raises: ValueError, TypeError: no net of one image that can be differentiated, or
        one that does not say its layout beside one of channels first.
    """
    if surrogate is None:
        return None
    theirs = origin.of(as_function(surrogate))
    if layout.is_first(said) and (theirs is None or theirs.layout is None):
        raise ValueError(
            "surrogate=... says no layout, and the model takes channels-first images; "
            "pass interop.channels_first(surrogate), or channels_last"
        )
    net = adapted(surrogate, images, None, 1, seed, name="surrogate").logits_fn
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


def _check_unchanged(run: Evaluation, found: Verdicts) -> None:
    """Raises ValueError where images or net are no longer those of the report."""
    left = found.winner < 0  # Whose x_adv is a copy of the clean image.
    if not np.array_equal(run.examples.images[left], found.x_adv[left]):
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
