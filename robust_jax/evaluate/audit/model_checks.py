"""Checks of the model by itself: does it answer, and do its gradients tell the truth?

They need no attack. Limits are set between what rounding does and what a defence must
do to hide anything, which leaves a factor of ten or more on either side.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from robust_jax.evaluate.audit import probes, tactics
from robust_jax.evaluate.audit.finding import Answer, Measured, check
from robust_jax.evaluate.audit.subject import Bench
from robust_jax.evaluate.claims import margins

_TWICE = 1e-4  # One program, equal images: the order of sums may differ on a GPU.
_LAYOUTS = 0.01  # Of a logit range: float32 moves 1e-5, bfloat16 a few 1e-3.
_SINGLES = 16  # Images that are also asked one by one.
_OTHER_TILE = 48  # As claims uses: its program is there already.
# Relative, 2**-8 of bfloat16; the sums of ten independent logits differ by about 1.
_SAME_SUM = 2.0**-7
_SATURATED = 87.0  # Nats: exp(-87) is the least normal float32, cross entropy ends.
# A share of points: single kinks and sure examples are far below, and what hides
# gradients must do so on many to raise robust accuracy.
_FEW = 0.2
_UNEXPLAINED = 0.25  # Of what happens on a walk; 1 is a gradient of something else.
_MOST_ZEROS = 0.5  # Half of the pixels without influence: the attack is half blind.
_NONE_RIGHT = "The model gets no example right."
_RANKS = 0.9  # Spearman: 1.00 wherever cross entropy has digits left to rise with.


@check(
    1,
    "inputs and outputs",
    "Mend the model so that it answers with numbers in the whole box, in evaluation "
    "mode, from the image alone: no batch statistics or positions.",
)
def inputs_and_outputs(bench: Bench) -> Measured:
    """Finite inputs and answers, which depend on the image and on nothing else."""
    parts = [*_inputs(bench)]
    if bench.subject.samples == 1:
        parts += _repeated(bench)
    if len(bench):
        parts.append(_neighbourhood(bench))
    return _worst(parts)


@check(
    2,
    "logits, not probabilities",
    "Return the logits before softmax and temperature, and attack the margin or DLR, "
    "which no scale of the logits hides from.",
)
def logits_not_probabilities(bench: Bench) -> Measured:
    """Raw logits, from which cross entropy, or what else is climbed, can rise."""
    logits = bench.subject.logits.astype(np.float64)
    sums = logits.sum(axis=1)
    spread = float(np.ptp(sums) / max(np.abs(sums).max(), np.finfo(np.float32).tiny))
    on_simplex = bool((logits >= 0).all() and spread <= _SAME_SUM)
    leads = np.abs(margins(logits, bench.subject.labels))
    saturated = float(np.mean(leads > _SATURATED))
    limit = 1.0 if _is_scale_free(bench) else _FEW
    says = (
        f"The least logit is {logits.min():.3g} and rows have sums that differ by "
        f"{spread:.1e} of their size; probabilities are never negative and have one sum"
    )
    raw = Measured(not on_simplex, spread, f"> {_SAME_SUM:g} or negative", says)
    says = (
        f"At {100 * saturated:.1f} % of the images the lead exceeds {_SATURATED:g} "
        "nats, where cross entropy and its gradient underflow"
    )
    says += ", and other stages climb something else" if limit == 1 else ""
    return _worst([raw, Measured(saturated <= limit, saturated, f"<= {limit:g}", says)])


@check(
    3,
    "labels and classes",
    "Check that labels and the model's outputs count the classes alike; with two or "
    "three classes climb the margin, for DLR has no third or fourth logit.",
)
def labels_and_classes(bench: Bench) -> Measured:
    """Labels in range, a model above chance, enough classes for the objectives."""
    subject = bench.subject
    classes = subject.logits.shape[1]
    bad = int(((subject.labels < 0) | (subject.labels >= classes)).sum())
    accuracy = float(np.mean(subject.clean))
    given = subject.labels, subject.logits
    needed = max((tactics.classes_needed(s, *given) for s in subject.plan), default=2)
    says = f"{bad} labels are outside [0, {classes})"
    in_range = Measured(bad == 0, float(bad), "0 out of range", says)
    says = f"The model has {classes} classes, the plan's objectives need {needed}"
    limit = f">= {needed} classes"
    enough = Measured(classes >= needed, float(classes), limit, says)
    says = (
        f"{100 * accuracy:.1f} % of the labels are the model's own classes, guessing "
        f"among {classes} gives {100 / classes:.1f} %"
    )
    limit = f"> {1 / classes:.3g}"
    above = Measured(accuracy > 1 / classes, accuracy, limit, says)
    return _worst([in_range, enough, above])


@check(
    5,
    "gradients against differences",
    "The gradients are masked, detached or of a function with jumps: write the model "
    "in JAX throughout, or attack with `attacks.straight_through`, with gradients "
    "averaged over a neighbourhood and without gradients.",
    none_right=_NONE_RIGHT,
)
def gradients_tell_the_truth(bench: Bench) -> Answer:
    """Values change along walks in the threat set as the gradients say.

    References: finite differences of gradients. Differs from them in: changes along
        walks are set against integrated gradients, rather than single differences,
        which jumps (k-winners, hashed noise) escape.
    """
    if not np.any(np.asarray(bench.threat.eps) > 0):
        return "The radius is 0, so there is nowhere to walk."
    found = probes.probes(bench)
    what = "of the points have a margin that no walk in the threat set changes by more "
    parts = [_share(found.still, _FEW, f"{what}than float32 rounds")]
    what = f"gradients that leave more than {100 * _UNEXPLAINED:.0f} % of the change"
    for walk in (*found.to_random, *found.uphill):
        errors = np.nan_to_num(walk.error(found.rounding)) > _UNEXPLAINED
        for objective, bad in zip(probes.OBJECTIVES, errors.T, strict=True):
            says = (
                f"of the points have {what} of the {objective} unexplained {walk.name}"
            )
            parts.append(_share(bad, _FEW, says))
    return _worst(parts)


@check(
    6,
    "vanishing gradients",
    "Find what stops the gradient (rounding, saturation, stop_gradient) and replace "
    "its derivative with `attacks.straight_through`; climb the margin where cross "
    "entropy alone vanishes.",
    none_right=_NONE_RIGHT,
)
def gradients_are_there(bench: Bench) -> Measured:
    """Gradients that are finite, normal numbers and not zero."""
    found, parts = probes.probes(bench), []
    places = {"clean": found.start, "random": found.random}
    excused = _excused(bench)
    for k, objective in enumerate(probes.OBJECTIVES):
        for where, response in places.items():
            zeros, denormals = response.zeros[:, k], response.denormals[:, k]
            if objective == "cross entropy":
                zeros, denormals = (np.where(excused, 0, v) for v in (zeros, denormals))
            whose = f"of the {objective}'s gradients at {where} points"
            parts += [
                _share(response.not_finite[:, k] > 0, 0, f"{whose} are not finite"),
                _share(zeros == 1, _FEW, f"{whose} are wholly zero"),
                _share(zeros > _MOST_ZEROS, _FEW, f"{whose} are zero in most pixels"),
                _share(denormals > _FEW, _FEW, f"{whose} have denormal entries"),
            ]
    return _worst(parts)


@check(
    18,
    "loss and success",
    "The loss must be an upper bound of success: climb the margin, and return logits "
    "in which cross entropy neither saturates nor rounds away.",
    none_right=_NONE_RIGHT,
)
def loss_follows_success(bench: Bench) -> Measured:
    """Cross entropy rises where the margin, which decides, rises."""
    uphill = probes.probes(bench).uphill[0]
    values = np.stack([one.values for one in uphill.seen], axis=1)  # [M, T, 2]
    ranks = np.array([spearman(*walk.T) for walk in values])
    part = _share(
        (ranks < _RANKS) & ~_excused(bench),
        _FEW,
        f"of the walks up the margin's gradient give cross entropy and margin a rank "
        f"correlation below {_RANKS:g}; the median is {np.median(ranks):.2f}",
    )
    return _worst([part])


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """The correlation of ranks, equal values sharing theirs.

    Edge cases: 0 where one of the two is constant or a value is not finite.

    Args:
        a: shape [T].
        b: shape [T].
    """
    first, second = _ranks(a), _ranks(b)
    is_number = np.isfinite(a).all() and np.isfinite(b).all()
    if not is_number or np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def _inputs(bench: Bench) -> list[Measured]:
    subject, threat = bench.subject, bench.subject.threat
    lower, upper = (
        np.asarray(face, subject.images.dtype) for face in (threat.lower, threat.upper)
    )
    both = (subject.images, subject.x_adv)
    outside = [~((lower <= x) & (x <= upper)) for x in both]  # NaN is outside.
    pixels = sum(int(o.sum()) for o in outside)
    answers = int((~np.isfinite(subject.logits)).any(axis=1).sum())
    return [
        Measured(pixels == 0, float(pixels), "0 pixels",
              f"{pixels} pixels are outside the box or not finite"),
        Measured(answers == 0, float(answers), "0 answers",
              f"At {answers} clean images the logits are not finite"),
    ]  # fmt: skip


def _repeated(bench: Bench) -> list[Measured]:
    """The answers to the same images, again and in other batches."""
    subject = bench.subject
    chosen = np.argsort(subject.ids, kind="stable")[: max(len(bench), _SINGLES)]
    images, n = subject.images[chosen], len(chosen)
    model = subject.batch_model
    ask = bench.logits if model is None else _batches(bench, model)
    known = ask(images, subject.tile)
    scale = float(np.median(np.ptp(known, axis=1))) or 1.0
    singles = min(n, _SINGLES)
    ways = (
        (_TWICE, "asked twice", slice(n), ask(images, subject.tile)),
        (_TWICE, "in another order", slice(None, None, -1),
         ask(images[::-1].copy(), subject.tile)),
        (_LAYOUTS, "in batches of another size", slice(n), ask(images, _OTHER_TILE)),
        (_LAYOUTS, "one by one", slice(singles), ask(images[:singles], 1)),
        (_LAYOUTS, "as the attacks see them", slice(n), subject.logits[chosen]),
    )  # fmt: skip
    parts = []
    for limit, how, rows, answers in ways:
        moved = float(np.max(np.abs(answers - known[rows]) / scale, initial=0.0))
        says = f"Images {how} get logits that differ by {moved:.1e} of their range"
        passes = moved <= limit  # NaN fails.
        parts.append(Measured(passes, moved, f"<= {limit:g}", says))
    return parts


def _batches(
    bench: Bench, model: Callable[..., Any]
) -> Callable[[np.ndarray, int], np.ndarray]:
    """The user's batch function, called as it is; the last batch may be smaller."""

    def ask(images: np.ndarray, size: int) -> np.ndarray:
        bench.count(len(images))
        cuts = range(0, len(images), size)
        answers = [model(jnp.asarray(images[i : i + size])) for i in cuts]
        return np.concatenate([np.asarray(a, np.float32) for a in answers])

    return ask


def _neighbourhood(bench: Bench) -> Measured:
    around = probes.around(bench)
    bad = [~np.isfinite(bench.logits(points)).all(axis=1) for points in around]
    return _share(
        np.any(bad, axis=0),
        0,
        "of the points have no finite logits somewhere in the threat set",
    )


def _share(bad: np.ndarray, limit: float, what: str) -> Measured:
    share = float(np.mean(bad))
    return Measured(
        share <= limit, share, f"<= {limit:g}", f"{100 * share:.1f} % {what}"
    )


def _worst(parts: list[Measured]) -> Measured:
    """The first measurement that fails, or else the one with the largest value."""
    failed = [part for part in parts if not part.passes]
    part = failed[0] if failed else max(parts, key=lambda part: part.value)
    return part._replace(says=f"{part.says}.")


def _is_scale_free(bench: Bench) -> bool:
    """Whether a stage of the plan climbs what no scale of the logits hides."""
    classes = bench.subject.logits.shape[1]
    return any(tactics.no_scale_hides_from(s, classes) for s in bench.subject.plan)


def _excused(bench: Bench) -> np.ndarray:
    """[M] bool: cross entropy has underflowed, and the plan does not depend on it."""
    logits = bench.subject.logits[bench.index].astype(np.float64)
    is_flat = np.abs(margins(logits, bench.labels)) > _SATURATED
    return is_flat & _is_scale_free(bench)
