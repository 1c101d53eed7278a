"""Adversarial points made nearer: by an attack from there, bisection, dropping."""

from typing import Any, NamedTuple

import jax
import numpy as np

from robust_jax import threats
from robust_jax.core import compiling, drive, faces, lift
from robust_jax.core.closures import as_of_now
from robust_jax.core.memo import memoised
from robust_jax.core.types import (
    Array,
    Attack,
    AttackResult,
    Key,
    LogitsFn,
    Threat,
    Towards,
    Untargeted,
)
from robust_jax.evaluate.claims import mapped, margins, predict
from robust_jax.evaluate.engine import Examples
from robust_jax.losses import objectives


class Part(NamedTuple):
    """Examples of a net, M of them."""

    model: LogitsFn
    threat: Threat
    of: Examples

    def take(self, rows: np.ndarray) -> "Part":
        threat = lift.threat_of(self.threat, self.of.images, rows)
        return Part(self.model, threat, self.of.take(rows))


def refined(
    attack: Attack, part: Part, x_adv: np.ndarray, seed: int, tile: int
) -> AttackResult:
    """What an attack finds from adversarial points, towards the classes seen there.

    Args:
        attack: one whose state has an `iterate`.
        part: the examples.
        x_adv: an adversarial point of each, [M, *S].
        seed: of its random numbers.
        tile: examples per forward.
    """
    labels, keys = part.of.labels, lift.item_keys(seed, part.of.ids)
    model = as_of_now(part.model, x_adv[0])
    logits = predict(model, x_adv, tile)
    is_own = np.arange(logits.shape[1]) == labels[:, None]
    seen = np.argmax(np.where(is_own, -np.inf, logits), axis=1).astype(labels.dtype)
    run_many: Any = drive.hosted(attack, to_the_end=True)

    def run(keys: Key, model: LogitsFn, threat: Threat, x: Any, goal: Towards) -> Any:
        return run_many(keys, model, threat, x[0], goal, x[1])

    given = part.threat, (part.of.images, x_adv), Towards(labels, seen)
    found: AttackResult = lift.in_tiles(run, tile=tile)(keys, model, *given)
    return found


def polished(
    part: Part, x_adv: np.ndarray, points: int, tile: int
) -> tuple[np.ndarray, np.ndarray]:
    """Adversarial points made nearer, [M, *S], and forwards and backwards per example.

    Args:
        part: the examples, under `L0` or another ball.
        x_adv: an adversarial point of each.
        points: tried per example, >= 0.
        tile: examples per forward.
    """
    if isinstance(part.threat, threats.L0):
        return pruned(part, x_adv, points, tile), np.array([points + 1, points + 1])
    return drawn_in(part, x_adv, points, tile), np.array([points, 0])


def drawn_in(part: Part, x_adv: np.ndarray, halvings: int, tile: int) -> np.ndarray:
    """Adversarial points drawn towards x as far as they stay so, shape [M, *S].

    Bisection between x and x_adv; a tie of logits and non-finite ones are adversarial.

    Args:
        part, x_adv, tile: as of `polished`.
        halvings: forwards per example, >= 0.
    """
    images, threat = part.of.images, part.threat
    low, high = np.zeros(len(images)), np.ones(len(images))
    lower, upper = (
        np.asarray(end, x_adv.dtype) for end in (threat.lower, threat.upper)
    )
    way = x_adv - images
    best = x_adv.copy()
    for _ in range(halvings):
        share = (low + high) / 2
        at = share.reshape(-1, *[1] * (images.ndim - 1)).astype(x_adv.dtype)
        point = np.clip(images + at * way, lower, upper)
        point = faces.snapped(getattr(threat, "lattice", None), point, images, np)
        logits = predict(part.model, point, tile)
        won = ~(margins(logits, part.of.labels) < 0) | ~np.isfinite(logits).all(axis=1)
        low, high = np.where(won, low, share), np.where(won, share, high)
        best[won] = point[won]
    return best


def pruned(part: Part, x_adv: np.ndarray, points: int, tile: int) -> np.ndarray:
    """Adversarial points of which coordinates were dropped, shape [M, *S].

    The next point to try has the moved coordinates at the faces of the box that the
    margin's gradient points to, but for the one that matters least there to first
    order, which is x again; after a failure it is the one that matters next to least.

    Args: as `drawn_in`; `points` costs a forward and a backward each, and one more.
    """
    images, threat = part.of.images, part.threat
    n = len(images)
    low, high = (
        np.broadcast_to(np.asarray(end, x_adv.dtype), images.shape).reshape(n, -1)
        for end in (threat.lower, threat.upper)
    )
    x, best = images.reshape(n, -1), x_adv.reshape(n, -1).copy()
    _, slope = _looked(part, x_adv, tile)
    failures, rows = np.zeros(n, int), np.arange(n)
    for _ in range(points):
        moved = best != x
        pushed = np.where(moved, np.where(slope > 0, high, low), x)
        order = np.argsort(np.where(moved, slope * (pushed - x), np.inf), axis=1)
        point, place = pushed.copy(), order[rows, np.minimum(failures, x.shape[1] - 1)]
        point[rows, place] = x[rows, place]
        point = faces.snapped(getattr(threat, "lattice", None), point, x, np)
        won, steepness = _looked(part, point.reshape(images.shape), tile)
        won &= (point != x).sum(axis=1) < moved.sum(axis=1)
        best[won], slope[won] = point[won], steepness[won]
        failures = np.where(won, 0, failures + 1)
    return best.reshape(images.shape)


def _looked(part: Part, points: np.ndarray, tile: int) -> tuple[np.ndarray, np.ndarray]:
    """Which points are adversarial, [M], and the margin's gradients there, [N, d]."""
    of = _look(tile), drive.as_partial(part.model), points, part.of.labels
    margin, slope = mapped(*of, tile=tile)
    return ~(margin < 0), slope.reshape(len(slope), -1)


@memoised
def _look(tile: int) -> Any:
    def margin(x: Array, model: LogitsFn, label: Array) -> Array:
        return objectives.margin(model(x), Untargeted(label))

    look = jax.value_and_grad(margin)
    return compiling.compiled(
        jax.vmap(lambda model, x, label: look(x, model, label), in_axes=(None, 0, 0))
    )
