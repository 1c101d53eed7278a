"""Checks of how an attack goes about it: its path, its seeds, a planted target.

What is counted are points, and what passes is what chance would let pass, see
`chance`.
"""

from typing import Any

import numpy as np

from robust_jax.core import lift
from robust_jax.core.metrics import wilson
from robust_jax.core.types import Attack, AttackResult, Untargeted
from robust_jax.evaluate.audit import drivers, ladder, planted, randomness, stepwise
from robust_jax.evaluate.audit.chance import at_most, tolerated
from robust_jax.evaluate.audit.finding import Answer, Measured, check
from robust_jax.evaluate.audit.subject import Bench

_BORDER = 1e-4  # DESIGN tolerance: below it a margin's sign may depend on the layout.
_ROUNDING = 1e-5  # Pixels; DESIGN tolerance for steps that are not signs.
_LAYOUTS = 0.01  # Of the logits' range; float32 moves 1e-5, bfloat16 a few 1e-3.
_ON_THE_PATH = 64  # Points whose path is looked at: one tile; each step is judged.
_LAST = 10  # Pintor et al. (2022), indicator 4: the last ten iterations ...
_GAIN = 0.05  # ... must not gain more than this share of all that was gained.
_UNFINISHED = 0.05  # Share of the points that may, or that may miss what is planted.
_UNDECIDED = 0.05  # Share of open verdicts: the robust accuracy is as uncertain.
_SEEDS = 3
# Share of points at which the seed of a short attack may decide; at most 0.08 on
# eight honest nets of the digits at three radii.
_BY_LUCK = 0.1
_CONFIDENCE = 0.95
_VOTED = 128  # Broken examples, at most, whose majority is asked again.
_NONE_RIGHT = "No example is right without an attack."


@check(
    15,
    "silent success",
    "Let the attack keep its best iterate; if it does, the model answers differently "
    "in another batch or at another time.",
    none_right=_NONE_RIGHT,
)
def silent_success(bench: Bench, attack: Attack | None = None) -> Measured:
    """No adversarial point on the path that was not returned.

    The path is that of the long attack, or of another whose state has an `iterate`.
    """
    path = _path(bench, attack or ladder.long(bench.threat.name))
    returned = np.asarray(path.result.margin) >= 0
    border = _BORDER * np.maximum(1.0, path.largest)
    silent = int(((path.margins > border).any(axis=1) & ~returned).sum())
    return Measured(
        silent == 0,
        silent / len(returned),
        "0",
        f"At {silent} of {len(returned)} points an independent forward pass found an "
        "iterate adversarial, and the attack returned no success.",
    )


@check(
    16,
    "incomplete optimisation",
    "Give the attack more steps or larger ones until its objective has come to rest; "
    "where it never moved, look at the gradients.",
    none_right=_NONE_RIGHT,
)
def incomplete_optimisation(bench: Bench, attack: Attack | None = None) -> Answer:
    """The best objective so far rises no more in the last ten steps.

    The best margin so far is scaled to [0, 1] over the path, see `silent_success`. A
    path on which nothing ever changes counts as incomplete: it did not begin.

    References: Pintor et al., "Indicators of attack failure", NeurIPS 2022. Differs
        from it in: the margin instead of the loss, open points only; a flat path counts
        as incomplete.
    """
    if ladder.radius_of(bench.threat) == 0:
        return "The radius is 0, so there is nowhere to go."
    attack = attack or ladder.long(bench.threat.name)
    path = _path(bench, attack)
    best = np.fmax.accumulate(path.margins, axis=1)
    is_open = best[:, -1] < 0  # A success needs no further optimisation.
    incomplete = int((_late_gain(best[is_open], path.margins[is_open]) > _GAIN).sum())
    return at_most(
        _UNFINISHED,
        incomplete,
        len(best),
        f"At {incomplete} of {len(best)} points the last {_LAST} of {attack.steps} "
        f"steps gained more than {_GAIN:.0%} of the way, or no step gained anything.",
    )


@check(
    19,
    "planted example",
    "An attack that cannot find what is there proves nothing: make the gradient reach "
    "the pixels (BPDA, EOT), then evaluate again.",
    none_right=_NONE_RIGHT,
)
def planted_example(bench: Bench) -> Answer:
    """The attack finds an adversarial example that was planted for it.

    References: Zimmermann et al., "Increasing confidence in adversarial robustness
        evaluations", NeurIPS 2022. Differs from it in: the planted example is told by
        the distance of whitened logits, since the model is a black function; theirs
        swaps the classifier on features.
    """
    if ladder.radius_of(bench.threat) == 0:
        return "The radius is 0: nothing can be planted."
    if bench.threat.name == "patch":
        return "Gradients say what to paint, and little of where a patch was planted."
    searched = planted.search(bench, ladder.long(bench.threat.name))
    n = int(searched.can_be_found.sum())
    hidden, missed = len(bench) - n, n - int(searched.found.sum())
    allowed = tolerated(len(bench), _UNFINISHED)
    return Measured(
        hidden + missed <= allowed,
        1 - (hidden + missed) / len(bench),
        f">= {1 - allowed / len(bench):.3f}",
        f"An attack on the logits' distance from those of a random point missed that "
        f"point at {missed} of {len(bench)}; at {hidden} more the logits did not tell "
        "it from other points.",
    )


@check(
    21,
    "samples of a randomised model",
    "Judge by the majority of more samples, and average gradients over as many.",
)
def enough_samples(bench: Bench) -> Answer:
    """Twice as many samples give a randomised model the same verdicts."""
    subject, n = bench.subject, bench.subject.samples
    if n == 1:
        return "The model is not randomised."
    if not len(bench):
        return _NONE_RIGHT
    broken = np.flatnonzero(subject.winner >= 0)  # Votes are cheap: not the subset.
    broken = broken[np.argsort(subject.ids[broken], kind="stable")][:_VOTED]
    rows, points = broken, subject.x_adv[broken]
    if bench.robust.any():  # Of what the plan left, the strongest that is at hand.
        attacked = bench.attack(ladder.short(bench.threat.name))
        rows = np.concatenate([rows, bench.index[bench.robust]])
        strongest = np.asarray(attacked.x_adv)[bench.robust]
        points = np.concatenate([points, strongest])
    right = randomness.votes(bench, rows, points, 2 * n)
    first, all_of_them = right[:, :n].sum(axis=1), right.sum(axis=1)
    changed = (2 * first > n) != (all_of_them > n)
    low, high = np.transpose([wilson(int(v), 2 * n, _CONFIDENCE) for v in all_of_them])
    is_open = changed | ((low <= 0.5) & (high >= 0.5))
    return Measured(
        is_open.mean() <= _UNDECIDED,
        float(is_open.mean()),
        f"<= {_UNDECIDED}",
        f"At {is_open.sum()} of {len(rows)} points {2 * n} fresh samples leave the "
        f"majority open (95 % intervals); at {changed.sum()} it differs from that of "
        f"{n}.",
    )


@check(
    22,
    "seeds and batches",
    "Report the mean and spread of several seeds with more restarts; a model whose "
    "answers depend on the batch must be put into evaluation mode.",
    none_right=_NONE_RIGHT,
)
def seeds_and_batches(bench: Bench) -> Measured:
    """Few verdicts depend on the seed, none on order and batch.

    References: the usual spread over seeds. Differs from it in: the points at which the
        seed decides are counted, since the spread of the accuracy hides flips that
        cancel.
    """
    broken = [ladder.broke(run) for run in ladder.restarts(bench, _SEEDS)]
    by_luck = int((np.any(broken, axis=0) & ~np.all(broken, axis=0)).sum())
    left = ", ".join(f"{1 - flags.mean():.3f}" for flags in broken)
    allowed = tolerated(len(bench), _BY_LUCK)
    differing = _differing(bench)
    return Measured(
        differing == 0 and by_luck <= allowed,
        float(differing) if differing else by_luck / len(bench),
        f"0 differ, luck <= {allowed / len(bench):.3f}",
        f"{_SEEDS} seeds of a short attack leave {left}, and at {by_luck} of "
        f"{len(bench)} points the seed decides; in another order or as a subset "
        f"{differing} results differ.",
    )


def _late_gain(best: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Share of a path's whole range that its last steps gained; 1 for a flat path."""
    whole = np.fmax.reduce(seen, axis=1) - np.fmin.reduce(seen, axis=1)
    late = best[:, -1] - best[:, -1 - min(_LAST, best.shape[1] - 1)]
    return np.where(whole > 0, late / np.where(whole > 0, whole, 1), 1.0)


def _path(bench: Bench, attack: Attack) -> stepwise.Path:
    """The paths of the bench's first points, walked once per attack."""

    def walk() -> tuple[Attack, stepwise.Path]:
        few = np.arange(min(len(bench), _ON_THE_PATH))
        walked: stepwise.Path = _on(bench, few, stepwise.path(attack))
        asked = walked.margins.size + int(walked.result.forwards.sum())
        bench.count(asked, int(walked.result.backwards.sum()))
        return attack, walked  # What is kept keeps its id.

    walked: stepwise.Path = bench.once(f"path {id(attack)}", walk)[1]
    return walked


def _on(bench: Bench, order: np.ndarray, run_many: Any) -> Any:
    """A function of a batch, on some points of the bench in some order."""
    subject, images = bench.subject, bench.images[order]
    threat = lift.threat_of(bench.threat, bench.images, order)
    goal = Untargeted(bench.labels[order])
    run = lift.in_tiles(run_many, tile=subject.tile)
    return run(
        lift.keys_from(bench.key_data[order]), subject.model, threat, images, goal
    )


def _differing(bench: Bench) -> int:
    """How many results of a short attack depend on order or batch; must be none."""
    everyone, count = np.arange(len(bench)), 0
    run_many = drivers.auto(ladder.short(bench.threat.name))
    expected: AttackResult = _on(bench, everyone, run_many)
    bench.count(int(expected.forwards.sum()), int(expected.backwards.sum()))
    for order in (everyone[::-1], everyone[::2]):
        run: AttackResult = _on(bench, order, run_many)
        bench.count(int(run.forwards.sum()), int(run.backwards.sum()))
        moved = np.abs(np.asarray(run.x_adv) - np.asarray(expected.x_adv)[order])
        differs = ladder.broke(run) != ladder.broke(expected)[order]
        differs |= moved.reshape(len(order), -1).max(axis=1) > _ROUNDING
        count += int(differs.sum())
    return count + _differing_in_batches(bench)


def _differing_in_batches(bench: Bench) -> int:
    """How many answers that a model of batches gives depend on the batch."""
    model = bench.subject.batch_model
    if model is None:
        return 0
    everyone, count = np.arange(len(bench)), 0
    expected = np.asarray(model(bench.images), np.float64)
    allowed = _LAYOUTS * np.ptp(expected)
    bench.count(len(bench))
    for order in (everyone[::-1], everyone[::2]):
        answers = np.asarray(model(bench.images[order]), np.float64)
        bench.count(len(order))
        same = np.abs(answers - expected[order]).max(axis=1) <= allowed
        count += int((~same).sum())  # NaN is not the same.
    return count
