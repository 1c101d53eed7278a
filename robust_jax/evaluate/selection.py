"""Which examples, and which targets, a later stage still looks at."""

import numpy as np

from robust_jax.core import checks
from robust_jax.core.memo import memoised
from robust_jax.evaluate.stages import History, Only


@memoised
def near(share: float) -> Only:
    """Examples that some stage has brought to less than `share` of the clean margin.

    A share says how far an attack got whatever the scale of the logits: 1 is no
    progress, 0 the decision boundary.
    Guarantees: about each example alone, so that no result depends on the others.

    Args:
        share: in (0, 1].
    Raises: ValueError: a share out of range.
    """
    _check_share("share", share)

    def rule(history: History) -> np.ndarray:
        return history.best_margin > share * history.clean_margin

    return rule


@memoised
def leading_targets(share: float, spread: float) -> Only:
    """Of the examples that are `near`, the targets at most `spread` behind the best.

    Guarantees: see `near`. Both in units of the clean margin; a target that no stage
    has tried does not lead.

    Args:
        share: in (0, 1].
        spread: in (0, 1].
    Raises: ValueError: a share out of range.
    """
    _check_share("share", share)
    _check_share("spread", spread)

    def rule(history: History) -> np.ndarray:
        clean, best = history.clean_margin[:, None], history.best_margin[:, None]
        leads = history.target_margin >= best + spread * clean
        return leads & near(share)(history)[:, None]

    return rule


def _check_share(name: str, value: float) -> None:
    checks.holds(name, value, lambda v: 0 < v <= 1, "a share in (0, 1]")
