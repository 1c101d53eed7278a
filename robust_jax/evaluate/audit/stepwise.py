"""The path of an attack, every iterate looked at again between two steps."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from robust_jax.core import drive, faces, factories, lift
from robust_jax.core.types import Attack, AttackResult, LogitsFn
from robust_jax.evaluate.audit import drivers
from robust_jax.evaluate.claims import margins, predict

_TILE = 48  # Any size but the attack's: an independent look is in another layout.


class Path(NamedTuple):
    """M examples under one attack that goes to the end of its budget."""

    margins: np.ndarray  # [M, T] of each iterate, by another forward pass than its
    # own; NaN for an iterate outside eps, where attacks of some norms begin
    largest: np.ndarray  # [M, T] the largest absolute logit there
    result: AttackResult  # [M], what the attack returned


def path(attack: Attack) -> Callable[..., Path]:
    """An attack to the end of its budget, every iterate judged by a look of its own.

    Args:
        attack: one whose state has an `iterate`.
    Returns: `(keys [B], model, threat, x [B, *S], goal [B]) -> Path`, for
        `lift.in_tiles`.
    """
    programs = drivers.programs_under(drivers.plain)
    product = factories.as_product(attack)

    def run(keys, model, threat, x, goal):
        model, threat = drive.as_partial(model), lift.threat_on_host(threat, x)
        lattice, x = getattr(threat, "lattice", None), np.asarray(x)
        state, seen = programs.begin(product, keys, model, threat, x, goal, ()), []
        for _ in range(attack.steps):
            seen_by_it = faces.snapped(lattice, np.asarray(state.iterate), x, np)
            found, size = _judged(model, seen_by_it, goal.label)
            now = programs.advance(product, model, threat, state, (), True)
            seen.append((np.where(np.asarray(now.was_inside), found, np.nan), size))
            state = now.state
        found, largest = (
            np.stack(column, axis=1) for column in zip(*seen, strict=True)
        )
        return Path(found, largest, drivers.finished(attack, threat, state))

    return run


def _judged(
    model: LogitsFn, points: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    logits = predict(model, points, _TILE)
    finite = np.isfinite(logits).all(axis=1)
    largest = np.where(finite, np.abs(logits).max(axis=1), 1.0)
    return np.where(finite, margins(logits, labels), np.inf), largest
