"""A check of whether what attacks climb leads to where the class changes.

Attacks climb margins and losses, labels decide. On the way from an image to another
class the margin of a net rises, on the whole, to zero, and is zero where the class
changes. A head that adds something to the winning logit, scales the logits by a wave or
answers in steps keeps every class, and breaks one of the two.
"""

import jax.numpy as jnp
import numpy as np

from robust_jax.evaluate.audit.chance import at_most
from robust_jax.evaluate.audit.finding import Answer, check
from robust_jax.evaluate.audit.subject import Bench
from robust_jax.evaluate.claims import margins

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
# What two steps of rounding are at most of the range of a margin that tells anything.
_COARSEST = 0.5
_NARROW = (jnp.bfloat16, jnp.float16)  # Types that logits may be rounded to.


@check(
    27,
    "margin and class",
    "What attacks climb does not lead to where the class changes: attack the net "
    "before the head that reshapes its logits, by transfer or as a surrogate, and "
    "search by labels alone.",
)
def margin_at_the_boundary(bench: Bench) -> Answer:
    """The margin rises to zero where the class changes, without jump and detour."""
    other = _another_class(bench.labels)
    if other is None:
        return "No two right examples differ in their class."
    before, after, seen, coarse = _to_the_boundary(bench, _inside(bench, other))
    changes = ~(after < 0)  # In its own box an image may not get to another class.
    if not changes.any():
        return "In its box no image gets to another class."
    size, jump = np.ptp(seen, axis=1), after - before - 2 * coarse
    known = changes & ~((jump <= 0) & (2 * coarse > _COARSEST * size))
    if not known.any():
        return "The logits are rounded too coarsely to tell."
    size, jump, n = size[known], jump[known], int(known.sum())
    size = np.where(size > 0, size, 1)
    jumps = int((~(jump / size <= _JUMP)).sum())  # NaN jumps.
    moves = np.abs(np.diff(seen[known], axis=1)) - 2 * coarse[known, None]
    wanders = int((~(np.maximum(moves, 0).sum(axis=1) / size <= _WANDERING)).sum())
    return at_most(
        _FEW,
        max(jumps, wanders),
        n,
        f"On the way to an image of another class the margin jumps by more than "
        f"{_JUMP:.0%} of its range where the class changes at {jumps} of {n} "
        f"points, and goes up and down at {wanders}.",
    )


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


def _step_of(answers: list[np.ndarray]) -> np.ndarray:
    """[M] the step between the numbers that logits [M, K] are rounded to; 0: float32's.

    Logits that are all numbers of a narrower type, at every look, are of that type; a
    margin, the difference of two, is right to one step of theirs.
    """
    z = np.stack(answers).astype(np.float32)  # [T, M, K]
    z = np.where(np.isfinite(z), z, 0)
    largest = np.abs(z).max(axis=(0, 2))
    for kind in _NARROW:
        if np.array_equal(z.astype(kind).astype(np.float32), z):
            power = np.floor(np.log2(np.where(largest > 0, largest, 1)))
            return np.asarray(float(jnp.finfo(kind).eps) * 2.0**power)
    return np.zeros(len(largest))


def _to_the_boundary(
    bench: Bench, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The margins [M] on both sides of the first change of class, and on the way.

    Returns: before it, after it, [M, T] from the input to the point before, and [M] to
        what the model rounds its logits. Where the class does not change on the way,
        the first two are those of its end.
    """
    way, answers = ends - bench.images, []

    def margins_at(place: np.ndarray) -> np.ndarray:
        place = place.astype(way.dtype).reshape(-1, *(1 for _ in way.shape[1:]))
        answers.append(bench.logits(bench.images + place * way))
        return margins(answers[-1], bench.labels)

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
    after = margins_at(high)
    return seen[:, -1], after, seen, _step_of(answers)
