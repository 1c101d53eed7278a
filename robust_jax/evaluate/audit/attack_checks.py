"""Checks that attack the model again: is the plan as strong as it should be?

Each compares runs on the bench's points with each other or with the plan. What is
counted are points, and what passes is what chance would let pass, see `chance`.
"""

import itertools
from collections.abc import Callable

import numpy as np

from robust_jax import attacks
from robust_jax.core.types import Attack, AttackResult
from robust_jax.evaluate.audit import ladder, tactics, transfer
from robust_jax.evaluate.audit.chance import outweighs, tolerated
from robust_jax.evaluate.audit.subject import (
    FLAG,
    PASS,
    Bench,
    Check,
    Finding,
    Subject,
    margins,
    skipped,
)
from robust_jax.evaluate.hard_label import QUERIES, hard_label
from robust_jax.evaluate.stages import Stage

# Of all points; what the seeds of one AutoAttack differ by is as much.
_GAIN_OF_BUDGET = 0.005
_GAIN_OF_OTHERS = 0.002  # A gradient-free attack over gradients: 0.2 points.
_LEFT_IN_THE_BOX = 0.01  # Every image is allowed: what is left is the attack's fault.
_NOISE_IS_STRONGER = 0.05  # Of all points; in many dimensions it never is.
_BORDER = 1e-4  # DESIGN tolerance: below it a margin's sign may depend on the layout.
_POINTS = 100  # Random points of the threat set.
_UNASKED = {14: ("l0", "patch")}  # Norms that a check does not know.
_NO_POINTS = "No example is right without an attack."


def monotone_in_eps(bench: Bench) -> Finding:
    """8: eps = 0 is the clean model, a larger eps breaks more, the whole box all."""
    number, name = 8, "monotone in eps"
    if not len(bench):
        return skipped(number, name, _NO_POINTS)
    radii, runs = _curve(bench)
    left = [bench.accuracy(run) for run in runs]
    sure = margins(bench.subject.logits[bench.index], bench.labels) < -_BORDER
    moved = (np.asarray(runs[0].x_adv) != bench.images).reshape(len(bench), -1)
    changed = int((sure & (ladder.broke(runs[0]) | moved.any(axis=1))).sum())
    falls = [_lost(smaller, larger) for smaller, larger in itertools.pairwise(runs)]
    remaining = int((~ladder.broke(runs[-1])).sum())
    passes = changed == 0 and not any(outweighs(*fall) for fall in falls)
    passes &= remaining <= tolerated(len(bench), _LEFT_IN_THE_BOX)
    curve = ", ".join(f"{e:.3g}: {a:.3f}" for e, a in zip(radii, left, strict=True))
    return Finding(
        number,
        name,
        PASS if passes else FLAG,
        float(max(np.diff(left), default=0.0)),
        "no rise beyond chance, clean at 0, 0 at the box",
        f"Robust accuracy by eps is {curve}; {changed} answers changed at eps = 0.",
        "Where more room helps the attack less, its gradients or step sizes are wrong: "
        "compare with finite differences and try restarts and a search without "
        "gradients.",
    )


def more_budget(bench: Bench) -> Finding:
    """9: ten times the steps and ten times the restarts gain next to nothing."""
    number, name = 9, "ten times the budget"
    if not len(bench):
        return skipped(number, name, _NO_POINTS)
    runs = [*ladder.restarts(bench), ladder.longest(bench)]
    return _over_the_plan(
        bench,
        (number, name),
        np.any([ladder.broke(run) for run in runs], axis=0),
        _GAIN_OF_BUDGET,
        f"An attack of {ladder.RESTARTS} starts with {ladder.STEPS} steps and one with "
        f"{10 * ladder.STEPS}",
        "The plan has not converged: give its attacks more steps and restarts, or an "
        "adaptive step size, until more change nothing.",
    )


def order_of_strength(bench: Bench) -> Finding:
    """10: one step <= short attack <= long attack <= plan."""
    number, name = 10, "order of strength"
    if not len(bench):
        return skipped(number, name, _NO_POINTS)
    norm = bench.threat.name
    runs = [bench.attack(f(norm)) for f in (ladder.single, ladder.short, ladder.long)]
    weaker_wins = [_lost(weak, strong) for weak, strong in itertools.pairwise(runs)]
    beyond = _gain(bench, np.any([ladder.broke(run) for run in runs], axis=0))
    passes = not any(outweighs(*wins) for wins in weaker_wins)
    passes &= beyond <= tolerated(len(bench), _GAIN_OF_OTHERS)
    accuracies = [f"{bench.accuracy(run):.3f}" for run in runs]
    return Finding(
        number,
        name,
        PASS if passes else FLAG,
        beyond / len(bench),
        f"<= {tolerated(len(bench), _GAIN_OF_OTHERS)} points, no inversion",
        f"One step, {ladder.STEPS} steps, {10 * ladder.STEPS} steps and the plan leave "
        f"{', '.join(accuracies)} and {bench.robust.mean():.3f}; the weaker attacks "
        f"break {beyond} points that the plan left.",
        "A weaker attack that wins says that the stronger one fails: look at its "
        "objective, step size and gradients, and add the winner to the plan.",
    )


def random_noise(bench: Bench) -> Finding:
    """11: random points of the threat set are weaker than gradients."""
    number, name = 11, "random noise"
    if not len(bench):
        return skipped(number, name, _NO_POINTS)
    noise = bench.attack(attacks.worst_of(_POINTS))
    steered = [*ladder.restarts(bench, 1), ladder.longest(bench)]
    reached = np.max([np.asarray(run.margin) for run in steered], axis=0)
    drawn = np.asarray(noise.margin)
    stronger = int(((reached < 0) & (drawn > reached + _rounding(reached))).sum())
    beyond = _gain(bench, ladder.broke(noise))
    allowed = tolerated(len(bench), _NOISE_IS_STRONGER)
    passes = stronger <= allowed
    passes &= beyond <= tolerated(len(bench), _GAIN_OF_OTHERS)
    return Finding(
        number,
        name,
        PASS if passes else FLAG,
        stronger / len(bench),
        f"<= {allowed / len(bench):.3f}",
        f"The best of {_POINTS} random points comes closer to an error than "
        f"{10 * ladder.STEPS} gradient steps at {stronger} of {len(bench)} points, and "
        f"breaks {beyond} that the plan left.",
        "The gradients are masked, shattered or of something else: attack the "
        "undefended net, differentiate through every part (BPDA), average over "
        "randomness (EOT).",
    )


def black_box(bench: Bench) -> Finding:
    """12: a search without gradients gains at most 0.2 points over gradients."""
    number, name = 12, "black box gain"
    subject, n = bench.subject, len(bench)
    if n == 0:
        return skipped(number, name, _NO_POINTS)
    found, looked_at = found_by_the_plan(number, subject), 0
    if found is not None:
        gain, n = found
        search, looked_at = "The plan's search", n
    else:
        black = _without_gradients(subject)
        steered = [*ladder.restarts(bench, 1), ladder.longest(bench)]
        unsteered = ~np.any([ladder.broke(run) for run in steered], axis=0)
        won = np.isin(subject.winner[bench.index], black) & unsteered
        sought = bench.attack(_search(bench.threat.name))
        gain = int(won.sum()) + _gain(bench, ladder.broke(sought))
        search = f"A random search of {QUERIES} queries"
    allowed = tolerated(n, _GAIN_OF_OTHERS)
    return Finding(
        number,
        name,
        PASS if gain <= allowed else FLAG,
        gain / n,
        f"<= {allowed / n:.4f}",
        f"{search} without gradients breaks {gain} of {n} points that gradients left.",
        "Gradients should find what random search finds: look for masked gradients, "
        "and attack the part of the model that hides them.",
        looked_at,
    )


def transferred(bench: Bench) -> Finding:
    """13: examples made for a surrogate break next to nothing that the plan left."""
    number, name = 13, "transfer"
    if not len(bench):
        return skipped(number, name, _NO_POINTS)
    surrogate = bench.subject.surrogate
    if surrogate is None:
        surrogate = transfer.affine_copy(bench.subject)
    if surrogate is None:
        return skipped(number, name, "No clean logits are finite.")
    points = transfer.against(bench, surrogate, ladder.short(bench.threat.name))
    found = margins(bench.logits(points), bench.labels)
    is_given = bench.subject.surrogate is not None
    return _over_the_plan(
        bench,
        (number, name),
        ~(found < 0),
        _GAIN_OF_OTHERS,
        f"Transfer from {'the surrogate' if is_given else 'an affine copy'}",
        "What transfers from another model must be within reach of the model's own "
        "gradients: they are masked; attack the surrogate and add it to the plan.",
    )


def labels_alone(bench: Bench) -> Finding:
    """14: a search that sees labels alone breaks next to nothing that the plan left."""
    number, name = 14, "hard label"
    if not len(bench):
        return skipped(number, name, _NO_POINTS)
    if bench.threat.name in _UNASKED[number]:
        return skipped(number, name, "The search knows neither L0 nor a patch.")
    remedy = (
        "Neither gradients nor logits can be trusted: attack what is before the last "
        "transformation, and add the search to the plan."
    )
    found = found_by_the_plan(number, bench.subject)
    if found is None:
        return _over_the_plan(
            bench,
            (number, name),
            ladder.broke(bench.attack(hard_label(QUERIES))),
            _GAIN_OF_OTHERS,
            f"A search of {QUERIES} queries that sees labels alone",
            remedy,
        )
    gain, n = found
    if n == 0:
        return skipped(number, name, "The plan has searches by labels, and no other.")
    allowed = tolerated(n, _GAIN_OF_OTHERS)
    return Finding(
        number,
        name,
        PASS if gain <= allowed else FLAG,
        gain / n,
        f"<= {allowed / n:.4f}",
        f"The plan's search by labels alone broke {gain} of {n} points that gradients "
        "and scores had left.",
        remedy,
        n,
    )


def unconstrained(bench: Bench) -> Finding:
    """17: with the whole box allowed an attack reaches nearly every point."""
    number, name = 17, "unconstrained success"
    if not len(bench):
        return skipped(number, name, _NO_POINTS)
    run = _in_the_whole_box(bench)
    if run is None:
        return skipped(number, name, "The box has no bounds.")
    left = int((~ladder.broke(run)).sum())
    allowed = tolerated(len(bench), _LEFT_IN_THE_BOX)
    return Finding(
        number,
        name,
        PASS if left <= allowed else FLAG,
        1 - left / len(bench),
        f">= {1 - allowed / len(bench):.3f}",
        f"{10 * ladder.STEPS} steps break all but {left} of {len(bench)} points where "
        "every image of the box is allowed.",
        "An attack that may turn the image into any other must succeed: its gradients "
        "vanish, or the model knows the label.",
    )


CHECKS: tuple[Check, ...] = (
    monotone_in_eps,
    more_budget,
    order_of_strength,
    random_noise,
    black_box,
    transferred,
    labels_alone,
    unconstrained,
)


def _over_the_plan(
    bench: Bench,
    question: tuple[int, str],
    broken: np.ndarray,
    share: float,
    what: str,
    remedy: str,
) -> Finding:
    """The finding that something breaks too many points that the plan left."""
    number, name = question
    gain, allowed = _gain(bench, broken), tolerated(len(bench), share)
    return Finding(
        number,
        name,
        PASS if gain <= allowed else FLAG,
        gain / len(bench),
        f"<= {allowed / len(bench):.3f}",
        f"{what} breaks {gain} of {len(bench)} points that the plan left.",
        remedy,
    )


def found_by_the_plan(number: int, subject: Subject) -> tuple[int, int] | None:
    """What the plan's own search broke after all else, of how many; it costs nothing.

    Args:
        number: of a check.
        subject: an evaluation.
    Returns: None for a check that no search of the plan answers, and where the plan
        has no such search, has not come to its end, or has asked less than the check.
        Of none where nothing came before it.
    """
    if not subject.plan or subject.threat.name in _UNASKED.get(number, ()):
        return None
    if number == 12:
        own, last = _search(subject.threat.name), _after_all_gradients(subject)
    elif number == 14:
        own = hard_label(QUERIES)
        last = _last_of(subject, lambda stage: tactics.is_like(stage, own))
    else:
        return None
    asked = (k for k in last if not subject.stages[k].unfinished)
    if not any(tactics.stands_for(subject.plan[k], own) for k in asked):
        return None
    if len(last) == len(subject.plan):
        return 0, 0
    return int(np.isin(subject.winner, last).sum()), int(subject.clean.sum())


def _last_of(subject: Subject, is_one: Callable[[Stage], bool]) -> list[int]:
    """Places of the stages at the end of a plan that are all of a kind."""
    places = range(len(subject.plan) - 1, -1, -1)
    return list(itertools.takewhile(lambda k: is_one(subject.plan[k]), places))


def _after_all_gradients(subject: Subject) -> list[int]:
    """Places of the stages behind the last one that asked for gradients, if one did."""
    asked = [k for k, s in enumerate(subject.stages) if np.sum(s.backwards) > 0]
    return list(range(asked[-1] + 1, len(subject.stages))) if asked else []


def _search(norm: str) -> Attack:
    """Without gradients: the Square Attack, or Sparse-RS."""
    if norm == "l0":
        return attacks.sparse_rs(QUERIES)
    if norm == "patch":
        return attacks.sparse_rs_patch(QUERIES)
    return attacks.square(QUERIES, horizon=QUERIES)


def _gain(bench: Bench, broken: np.ndarray) -> int:
    return int((broken & bench.robust).sum())


def _lost(weaker: AttackResult, stronger: AttackResult) -> tuple[int, int]:
    """How many points only the one breaks, and how many only the other."""
    one, other = ladder.broke(weaker), ladder.broke(stronger)
    return int((one & ~other).sum()), int((other & ~one).sum())


def _curve(bench: Bench) -> tuple[list[float], list[AttackResult]]:
    """Radii in rising order, 0 and the whole box among them, and a run at each."""
    threat, norm = bench.threat, bench.threat.name
    radius = ladder.radius_of(threat)
    box = ladder.whole_box(threat, bench.images.shape[1:])
    radii = sorted({r for r in (0.0, radius / 2, radius, 2 * radius) if r < box})
    is_common = np.size(threat.eps) == 1 or np.ptp(np.asarray(threat.eps)) == 0
    own = radius if is_common else None  # So that the run is shared with other checks.
    runs = [
        bench.attack(ladder.short(norm), eps=None if r == own else r) for r in radii
    ]
    last = _in_the_whole_box(bench)
    return (radii, runs) if last is None else ([*radii, box], [*runs, last])


def _in_the_whole_box(bench: Bench) -> AttackResult | None:
    box = ladder.whole_box(bench.threat, bench.images.shape[1:])
    if not np.isfinite(box):
        return None
    return bench.attack(ladder.long(bench.threat.name), eps=box)


def _without_gradients(subject: Subject) -> list[int]:
    """Places of stages that asked for no gradient, behind the first one that did."""
    asks = [bool(np.sum(stage.backwards) > 0) for stage in subject.stages]
    first = asks.index(True) if any(asks) else len(asks)
    return [k for k in range(first, len(asks)) if not asks[k]]


def _rounding(reached: np.ndarray) -> np.ndarray:
    """What a margin of this size may differ by between layouts."""
    return _BORDER * np.maximum(1.0, np.abs(np.where(np.isfinite(reached), reached, 0)))
