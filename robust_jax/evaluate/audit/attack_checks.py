"""Checks that attack the model again: is the plan as strong as it should be?

Each compares runs on the bench's points with each other or with the plan. What is
counted are points, and what passes is what chance would let pass, see `chance`.
"""

import itertools

import numpy as np

from robust_jax import attacks
from robust_jax.core.types import AttackResult
from robust_jax.evaluate.audit import ladder
from robust_jax.evaluate.audit.chance import at_most, outweighs, tolerated
from robust_jax.evaluate.audit.finding import Answer, Measured, check
from robust_jax.evaluate.audit.subject import Bench
from robust_jax.evaluate.claims import margins

# Of all points; what the seeds of one AutoAttack differ by is as much.
_GAIN_OF_BUDGET = 0.005
_LEFT_IN_THE_BOX = 0.01  # Every image is allowed: what is left is the attack's fault.
_NOISE_IS_STRONGER = 0.05  # Of all points; in many dimensions it never is.
_BORDER = 1e-4  # DESIGN tolerance: below it a margin's sign may depend on the layout.
_POINTS = 100  # Random points of the threat set.
_NONE_RIGHT = "No example is right without an attack."


@check(
    8,
    "monotone in eps",
    "Where more room helps the attack less, its gradients or step sizes are wrong: "
    "compare with finite differences and try restarts and a search without gradients.",
    none_right=_NONE_RIGHT,
)
def monotone_in_eps(bench: Bench) -> Measured:
    """eps = 0 is the clean model, a larger eps breaks more, the whole box all."""
    radii, runs = _curve(bench)
    left = [bench.accuracy(run) for run in runs]
    sure = margins(bench.subject.logits[bench.index], bench.labels) < -_BORDER
    moved = (np.asarray(runs[0].x_adv) != bench.images).reshape(len(bench), -1)
    changed = int((sure & (ladder.broke(runs[0]) | moved.any(axis=1))).sum())
    falls = [_lost(smaller, larger) for smaller, larger in itertools.pairwise(runs)]
    remaining = int((~ladder.broke(runs[-1])).sum())
    passes = changed == 0 and not any(outweighs(*fall) for fall in falls)
    curve = ", ".join(f"{e:.3g}: {a:.3f}" for e, a in zip(radii, left, strict=True))
    return Measured(
        passes and remaining <= tolerated(len(bench), _LEFT_IN_THE_BOX),
        float(max(np.diff(left), default=0.0)),
        "no rise beyond chance, clean at 0, 0 at the box",
        f"Robust accuracy by eps is {curve}; {changed} answers changed at eps = 0.",
    )


@check(
    9,
    "ten times the budget",
    "The plan has not converged: give its attacks more steps and restarts, or an "
    "adaptive step size, until more change nothing.",
    none_right=_NONE_RIGHT,
)
def more_budget(bench: Bench) -> Measured:
    """Ten times the steps and ten times the restarts gain next to nothing."""
    runs = [*ladder.restarts(bench), ladder.longest(bench)]
    return ladder.beyond_the_plan(
        bench,
        ladder.any_broke(runs),
        _GAIN_OF_BUDGET,
        f"An attack of {ladder.RESTARTS} starts with {ladder.STEPS} steps and one with "
        f"{10 * ladder.STEPS}",
    )


@check(
    10,
    "order of strength",
    "A weaker attack that wins says that the stronger one fails: look at its "
    "objective, step size and gradients, and add the winner to the plan.",
    none_right=_NONE_RIGHT,
)
def order_of_strength(bench: Bench) -> Measured:
    """One step <= short attack <= long attack <= plan."""
    norm = bench.threat.name
    runs = [bench.attack(f(norm)) for f in (ladder.single, ladder.short, ladder.long)]
    weaker_wins = [_lost(weak, strong) for weak, strong in itertools.pairwise(runs)]
    beyond = ladder.gain(bench, ladder.any_broke(runs))
    allowed = tolerated(len(bench), ladder.GAIN)
    accuracies = [f"{bench.accuracy(run):.3f}" for run in runs]
    return Measured(
        beyond <= allowed and not any(outweighs(*wins) for wins in weaker_wins),
        beyond / len(bench),
        f"<= {allowed} points, no inversion",
        f"One step, {ladder.STEPS} steps, {10 * ladder.STEPS} steps and the plan leave "
        f"{', '.join(accuracies)} and {bench.robust.mean():.3f}; the weaker attacks "
        f"break {beyond} points that the plan left.",
    )


@check(
    11,
    "random noise",
    "The gradients are masked, shattered or of something else: attack the undefended "
    "net, differentiate through every part (BPDA), average over randomness (EOT).",
    none_right=_NONE_RIGHT,
)
def random_noise(bench: Bench) -> Measured:
    """Random points of the threat set are weaker than gradients."""
    noise = bench.attack(attacks.worst_of(_POINTS))
    steered = [*ladder.restarts(bench, 1), ladder.longest(bench)]
    reached = np.max([np.asarray(run.margin) for run in steered], axis=0)
    drawn = np.asarray(noise.margin)
    stronger = int(((reached < 0) & (drawn > reached + _rounding(reached))).sum())
    beyond = ladder.gain(bench, ladder.broke(noise))
    measured = at_most(
        _NOISE_IS_STRONGER,
        stronger,
        len(bench),
        f"The best of {_POINTS} random points comes closer to an error than "
        f"{10 * ladder.STEPS} gradient steps at {stronger} of {len(bench)} points, and "
        f"breaks {beyond} that the plan left.",
    )
    few = beyond <= tolerated(len(bench), ladder.GAIN)
    return measured._replace(passes=measured.passes and few)


@check(
    17,
    "unconstrained success",
    "An attack that may turn the image into any other must succeed: its gradients "
    "vanish, or the model knows the label.",
    none_right=_NONE_RIGHT,
)
def unconstrained(bench: Bench) -> Answer:
    """With the whole box allowed an attack reaches nearly every point."""
    run = _in_the_whole_box(bench)
    if run is None:
        return "The box has no bounds."
    left, n = int((~ladder.broke(run)).sum()), len(bench)
    allowed = tolerated(n, _LEFT_IN_THE_BOX)
    return Measured(
        left <= allowed,
        1 - left / n,
        f">= {1 - allowed / n:.3f}",
        f"{10 * ladder.STEPS} steps break all but {left} of {n} points where every "
        "image of the box is allowed.",
    )


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


def _rounding(reached: np.ndarray) -> np.ndarray:
    """What a margin of this size may differ by between layouts."""
    return _BORDER * np.maximum(1.0, np.abs(np.where(np.isfinite(reached), reached, 0)))
