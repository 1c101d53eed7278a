"""Checks of what needs no gradient: it should find next to nothing that the plan left.

A search of the plan's own answers a check for nothing, where it asked no less than the
check would.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from robust_jax import attacks
from robust_jax.core.types import Attack
from robust_jax.evaluate.audit import affine_surrogate, ladder, tactics
from robust_jax.evaluate.audit.chance import at_most
from robust_jax.evaluate.audit.finding import Answer, Measured, check
from robust_jax.evaluate.audit.subject import Bench, Subject
from robust_jax.evaluate.claims import margins
from robust_jax.evaluate.hard_label import QUERIES, hard_label

_NOT_BY_LABELS = ("l0", "patch")  # Norms that the search by labels does not know.
_NONE_RIGHT = "No example is right without an attack."


def _won_by_scores(subject: Subject) -> tuple[int, int] | None:
    """See `_won_at_the_end`: searches behind all stages that ask for gradients."""
    asked = [k for k, s in enumerate(subject.stages) if np.sum(s.backwards) > 0]
    last = range(asked[-1] + 1, len(subject.stages)) if asked else ()
    return _won_at_the_end(subject, last, _search(subject.threat.name))


@check(
    12,
    "black box gain",
    "Gradients should find what random search finds: look for masked gradients, and "
    "attack the part of the model that hides them.",
    none_right=_NONE_RIGHT,
    known=_won_by_scores,
)
def black_box(bench: Bench) -> Measured:
    """A search without gradients gains at most 0.2 points over gradients."""
    subject, n, looked_at = bench.subject, len(bench), 0
    found = _won_by_scores(subject)
    if found is not None:
        gain, n = found
        search, looked_at = "The plan's search", n
    else:
        black = _without_gradients(subject)
        steered = [*ladder.restarts(bench, 1), ladder.longest(bench)]
        won = np.isin(subject.winner[bench.index], black) & ~ladder.any_broke(steered)
        sought = bench.attack(_search(bench.threat.name))
        gain = int(won.sum()) + ladder.gain(bench, ladder.broke(sought))
        search = f"A random search of {QUERIES} queries"
    says = (
        f"{search} without gradients breaks {gain} of {n} points that gradients left."
    )
    measured = at_most(ladder.GAIN, gain, n, says, digits=4)
    return measured._replace(points=looked_at)


@check(
    13,
    "transfer",
    "What transfers from another model must be within reach of the model's own "
    "gradients: they are masked; attack the surrogate and add it to the plan.",
    none_right=_NONE_RIGHT,
)
def transferred(bench: Bench) -> Answer:
    """Examples made for a surrogate break next to nothing that the plan left."""
    given = bench.subject.surrogate
    surrogate = affine_surrogate.fitted(bench.subject) if given is None else given
    if surrogate is None:
        return "No clean logits are finite."
    points = affine_surrogate.against(bench, surrogate, ladder.short(bench.threat.name))
    found = margins(bench.logits(points), bench.labels)
    whose = "an affine copy" if given is None else "the surrogate"
    broken = ~(found < 0)
    return ladder.beyond_the_plan(bench, broken, ladder.GAIN, f"Transfer from {whose}")


def _won_by_labels(subject: Subject) -> tuple[int, int] | None:
    """See `_won_at_the_end`: searches that see labels alone, behind all others."""
    if subject.threat.name in _NOT_BY_LABELS:
        return None
    own = hard_label(QUERIES)
    places = range(len(subject.plan) - 1, -1, -1)
    is_one = lambda k: tactics.is_like(subject.plan[k], own)  # noqa: E731
    return _won_at_the_end(subject, list(itertools.takewhile(is_one, places)), own)


@check(
    14,
    "hard label",
    "Neither gradients nor logits can be trusted: attack what is before the last "
    "transformation, and add the search to the plan.",
    none_right=_NONE_RIGHT,
    known=_won_by_labels,
)
def labels_alone(bench: Bench) -> Answer:
    """A search that sees labels alone breaks next to nothing that the plan left."""
    if bench.threat.name in _NOT_BY_LABELS:
        return "The search knows neither L0 nor a patch."
    found = _won_by_labels(bench.subject)
    if found is None:
        return ladder.beyond_the_plan(
            bench,
            ladder.broke(bench.attack(hard_label(QUERIES))),
            ladder.GAIN,
            f"A search of {QUERIES} queries that sees labels alone",
        )
    gain, n = found
    if n == 0:
        return "The plan has searches by labels, and no other."
    says = (
        f"The plan's search by labels alone broke {gain} of {n} points that gradients "
    )
    says += "and scores had left."
    return at_most(ladder.GAIN, gain, n, says, digits=4)._replace(points=n)


def _won_at_the_end(
    subject: Subject, last: Sequence[int], own: Attack
) -> tuple[int, int] | None:
    """What the plan's own search broke after all else, of how many; it costs nothing.

    Args:
        last: places of the stages at the end of the plan that are such searches.
        own: the search of the check in whose place the plan's may stand.
    Returns: None where the plan has no such search, has not come to its end, or has
        asked less than the check. Of none where nothing came before it.
    """
    asked = (k for k in last if subject.plan and not subject.stages[k].unfinished)
    if not any(tactics.stands_for(subject.plan[k], own) for k in asked):
        return None
    if len(last) == len(subject.plan):
        return 0, 0
    return int(np.isin(subject.winner, last).sum()), int(subject.clean.sum())


def _search(norm: str) -> Attack:
    """Without gradients: the Square Attack, or Sparse-RS."""
    if norm == "l0":
        return attacks.sparse_rs(QUERIES)
    if norm == "patch":
        return attacks.sparse_rs_patch(QUERIES)
    return attacks.square(QUERIES, horizon=QUERIES)


def _without_gradients(subject: Subject) -> list[int]:
    """Places of stages that asked for no gradient, behind the first one that did."""
    asks = [bool(np.sum(stage.backwards) > 0) for stage in subject.stages]
    first = asks.index(True) if any(asks) else len(asks)
    return [k for k in range(first, len(asks)) if not asks[k]]
