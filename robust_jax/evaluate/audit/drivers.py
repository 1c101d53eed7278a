"""Attacks driven from the host one step at a time, by programs that all checks share.

A head, a function of the model and of rows of one example, is what the attack sees.
Attack, weights, radii, rows and how far to go are arguments: there are two programs for
each kind of attack and head.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.core import compiling, drive, faces, factories, lift, stepping
from robust_jax.core.memo import memoised
from robust_jax.core.types import Array, Attack, AttackResult, LogitsFn, Threat

Head = Callable[[LogitsFn, Any], LogitsFn]  # (model, rows of one example) -> logits_fn

_ROUNDING = 1e-5  # Of a distance that was projected to eps, relative.


def plain(model: LogitsFn, rows: Any) -> LogitsFn:
    """The model as it is."""
    return model


def under(
    attack: Attack, head: Head, *, to_the_end: bool = False
) -> Callable[..., AttackResult]:
    """An attack on the model under a head.

    Args:
        attack: any attack of the library.
        head: a function of a module, since programs are kept per head.
        to_the_end: see `drive.run`.
    Returns: `(keys [B], model, threat, x [B, *S], (goal, rows) [B]) -> AttackResult`,
        for `lift.in_tiles`.
    """
    programs, product = programs_under(head), factories.as_product(attack)

    def run(keys, model, threat, x, goal_and_rows):
        model, threat = drive.as_partial(model), lift.threat_on_host(threat, x)
        goal, rows = goal_and_rows
        state = programs.begin(product, keys, model, threat, x, goal, rows)
        for _ in range(attack.steps):
            now = programs.advance(product, model, threat, state, rows, to_the_end)
            state = now.state
            if not now.running:
                break
        return finished(attack, threat, state)

    return run


def auto(attack: Attack, *, to_the_end: bool = False) -> drive.RunMany:
    """As `drive.auto`; where the host drives, by the programs of `path`."""
    if jax.default_backend() != "cpu":
        return drive.traced(attack, to_the_end=to_the_end)
    run = under(attack, plain, to_the_end=to_the_end)

    def run_many(keys, model, threat, x, goal):
        return run(keys, model, threat, x, (goal, ()))

    return run_many


class Advanced(NamedTuple):
    """B examples after one more step."""

    state: Any
    running: Array  # [] bool, whether any example is not finished
    was_inside: Array  # [B] bool, of the iterate before; True if there is none


class Programs(NamedTuple):
    """Compiled, over B examples."""

    begin: Any
    advance: Any


@memoised
def programs_under(head: Head) -> Programs:
    """The programs of all attacks under a head."""

    def begin(attack, keys, model, threat, x, goal, rows):
        def one(key, threat, x, goal, rows):
            return stepping.begin(attack, key, head(model, rows), threat, x, goal)

        return jax.vmap(one)(keys, threat, x, goal, rows)

    def advance(attack, model, threat, state, rows, to_the_end):
        def one(threat, state, rows):
            net = head(model, rows)
            moved = stepping.advance(attack, net, threat, state, to_the_end=to_the_end)
            over = stepping.is_over(attack, threat, moved, to_the_end)
            return moved, ~over, _is_inside(threat, state)

        moved, running, was_inside = jax.vmap(one)(threat, state, rows)
        return Advanced(moved, running.any(), was_inside)

    return Programs(compiling.compiled(begin, brief=True), compiling.compiled(advance))


def _is_inside(threat: Threat, state: Any) -> Array:
    if not hasattr(state, "iterate"):
        return jnp.ones((), bool)
    distance = threat.distance(state.iterate, state.x)
    return distance <= threat.eps * (1 + _ROUNDING)


def finished(attack: Attack, threat: Threat, state: Any) -> AttackResult:
    """The results, [B]. Not compiled: nearly all attacks only pick fields."""
    return jax.vmap(faces.finishing(attack.finish))(threat, state)
