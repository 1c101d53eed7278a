"""Attacks driven from the host one step at a time, with a head of our own on the model.

The head, a function of the model and of rows of one example, is what the attack sees;
between two steps others may look at where it stands.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from robust_jax.core import drive, lift
from robust_jax.core.memo import memoised
from robust_jax.core.types import Attack, AttackResult, LogitsFn
from robust_jax.evaluate.audit.subject import margins
from robust_jax.evaluate.claims import predict

Head = Callable[[LogitsFn, Any], LogitsFn]  # (model, rows of one example) -> logits_fn

_ROUNDING = 1e-5  # Of a distance that was projected to eps, relative.
_TILE = 48  # Any size but the attack's: an independent look is in another layout.


class Path(NamedTuple):
    """M examples under one attack that goes to the end of its budget."""

    margins: np.ndarray  # [M, T] of each iterate, by another forward pass than its
    # own; NaN for an iterate outside eps, where attacks of some norms begin
    largest: np.ndarray  # [M, T] the largest absolute logit there
    result: AttackResult  # [M], what the attack returned


def plain(model: LogitsFn, rows: Any) -> LogitsFn:
    """The model as it is."""
    return model


def under(attack: Attack, head: Head) -> Callable[..., AttackResult]:
    """An attack on the model under a head, up to the first success.

    Args:
        attack: any attack of the library.
        head: a function of a module, since programs are kept per head.
    Returns: `(keys [B], model, threat, x [B, *S], (goal, rows) [B]) -> AttackResult`,
        for `lift.in_tiles`.
    """
    programs = _programs(attack, head, False)

    def run(keys, model, threat, x, goal_and_rows):
        model, threat = drive.as_partial(model), lift.threat_per_example(threat, x)
        goal, rows = goal_and_rows
        state = programs.begin(keys, model, threat, x, goal, rows)
        for _ in range(attack.steps):
            state, running = programs.advance(model, threat, state, rows)
            if not running:
                break
        return programs.finish(threat, state)

    return run


def path(attack: Attack) -> Callable[..., Path]:
    """An attack to the end of its budget, every iterate judged by a look of its own.

    Args:
        attack: one whose state has an `iterate`.
    Returns: `(keys [B], model, threat, x [B, *S], goal [B]) -> Path`, for
        `lift.in_tiles`.
    """
    programs = _programs(attack, plain, True)

    def run(keys, model, threat, x, goal):
        model, threat = drive.as_partial(model), lift.threat_per_example(threat, x)
        state, seen = programs.begin(keys, model, threat, x, goal, ()), []
        for _ in range(attack.steps):
            found, size = _judged(model, np.asarray(state.iterate), goal.label)
            is_inside = np.asarray(programs.is_inside(threat, state))
            seen.append((np.where(is_inside, found, np.nan), size))
            state, _ = programs.advance(model, threat, state, ())
        found, largest = (
            np.stack(column, axis=1) for column in zip(*seen, strict=True)
        )
        return Path(found, largest, programs.finish(threat, state))

    return run


def _judged(
    model: LogitsFn, points: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    logits = predict(model, points, _TILE)
    finite = np.isfinite(logits).all(axis=1)
    largest = np.where(finite, np.abs(logits).max(axis=1), 1.0)
    return np.where(finite, margins(logits, labels), np.inf), largest


class _Programs(NamedTuple):
    begin: Any
    advance: Any
    finish: Any
    is_inside: Any


@memoised
def _programs(attack: Attack, head: Head, to_the_end: bool) -> _Programs:
    def begin(key, model, threat, x, goal, rows):
        return drive.begin(attack, key, head(model, rows), threat, x, goal)

    def advance(model, threat, state, rows):
        moved = drive.advance(
            attack, head(model, rows), threat, state, to_the_end=to_the_end
        )
        return moved, ~attack.done(threat, moved)

    def advance_all(model, threat, state, rows):
        states, running = jax.vmap(advance, in_axes=(None, 0, 0, 0))(
            model, threat, state, rows
        )
        return states, running.any()

    def is_inside(threat, state):
        distance = threat.distance(state.iterate, state.x)
        return distance <= threat.eps * (1 + _ROUNDING)

    return _Programs(
        drive.compiled(jax.vmap(begin, in_axes=(0, None, 0, 0, 0, 0))),
        drive.compiled(advance_all),
        drive.compiled(jax.vmap(attack.finish)),
        drive.compiled(jax.vmap(is_inside)),
    )
