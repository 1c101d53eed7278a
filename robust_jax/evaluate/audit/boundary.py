"""A check of whether what attacks climb leads to where the class changes.

Attacks climb margins and losses, labels decide. On the way from an image to another
class the margin of a net rises, on the whole, to zero, and is zero where the class
changes. A head that adds something to the winning logit, scales the logits by a wave or
answers in steps keeps every class, and breaks one of the two.
"""

import numpy as np

from robust_jax.evaluate.audit.chance import tolerated
from robust_jax.evaluate.audit.subject import (
    FLAG,
    PASS,
    Bench,
    Check,
    Finding,
    margins,
    skipped,
)

_COARSE = 16  # Looks on the way to the other image: for the first change of class.
_FINE = 32  # Looks on the way to that change.
_HALVINGS = 16  # Of one of these parts: float32 has few more digits.
# Share of the margin's range that it may jump by where the class changes: 1e-5 on 13
# honest nets, 0.2 to 3 where a winner got a bonus of a fifth of the lead to five times.
_JUMP = 0.05
# Way up and down over the range: 1 for a way up, below 2 for a convex margin, such as
# an affine net's, which may fall before it rises.
_WANDERING = 2.5
# Share of points that may do so: none of 13 honest nets' do.
_FEW = 0.05


def margin_at_the_boundary(bench: Bench) -> Finding:
    """27: the margin rises to zero where the class changes, without jump and detour."""
    number, name = 27, "margin and class"
    other = _another_class(bench.labels)
    if other is None:
        return skipped(number, name, "No two right examples differ in their class.")
    before, after, seen = _to_the_boundary(bench, _inside(bench, other) - bench.images)
    changes = ~(after < 0)  # In its own box an image may not get to another class.
    if not changes.any():
        return skipped(number, name, "In its box no image gets to another class.")
    before, after, seen = before[changes], after[changes], seen[changes]
    size, n = np.ptp(seen, axis=1), len(seen)
    size = np.where(size > 0, size, 1)
    jumps = int((~((after - before) / size <= _JUMP)).sum())  # NaN jumps.
    length = np.abs(np.diff(seen, axis=1)).sum(axis=1) / size
    wanders = int((~(length <= _WANDERING)).sum())
    worst, allowed = max(jumps, wanders), tolerated(n, _FEW)
    return Finding(
        number,
        name,
        PASS if worst <= allowed else FLAG,
        worst / n,
        f"<= {allowed / n:.3f}",
        f"On the way to an image of another class the margin jumps by more than "
        f"{_JUMP:.0%} of its range where the class changes at {jumps} of {n} "
        f"points, and goes up and down at {wanders}.",
        "What attacks climb does not lead to where the class changes: attack the net "
        "before the head that reshapes its logits, by transfer or as a surrogate, and "
        "search by labels alone.",
    )


CHECKS: tuple[Check, ...] = (margin_at_the_boundary,)


def _another_class(labels: np.ndarray) -> np.ndarray | None:
    """For each example the next one of another class; None if all are of one."""
    n = len(labels)
    if n == 0 or (labels == labels[0]).all():
        return None
    after = (np.arange(n)[:, None] + np.arange(1, n)) % n
    first = np.argmax(labels[after] != labels[:, None], axis=1)
    return np.asarray(after[np.arange(n), first])


def _inside(bench: Bench, other: np.ndarray) -> np.ndarray:
    """The other images, each inside the box of the image that is on its way there."""
    threat = bench.threat
    faces = (
        np.asarray(face, bench.images.dtype) for face in (threat.lower, threat.upper)
    )
    return np.clip(bench.images[other], *faces)


def _to_the_boundary(
    bench: Bench, way: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The margins [M] on both sides of the first change of class, and on the way.

    Returns: before it, after it, and [M, T] from the input to the point before. Where
        the class does not change on the way, both are those of its end.
    """

    def margins_at(place: np.ndarray) -> np.ndarray:
        place = place.astype(way.dtype).reshape(-1, *(1 for _ in way.shape[1:]))
        return margins(bench.logits(bench.images + place * way), bench.labels)

    n, parts = len(way), np.linspace(0, 1, _COARSE + 1)
    ahead = np.stack([margins_at(np.full(n, part)) for part in parts], axis=1)
    changed = ~(ahead < 0)
    first = np.where(changed.any(axis=1), np.argmax(changed, axis=1), _COARSE)
    low, high = parts[np.maximum(first - 1, 0)], parts[first]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        changed = ~(margins_at(middle) < 0)
        low, high = np.where(changed, low, middle), np.where(changed, middle, high)
    fine = np.linspace(0, 1, _FINE + 1)
    seen = np.stack([margins_at(low * part) for part in fine], axis=1)
    return seen[:, -1], margins_at(high), seen
