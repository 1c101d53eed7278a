"""Runs made of runs: restarts, targets, the strongest of several, one after another.

A run is what a driver makes of an attack, `(key, logits_fn, threat, x, goal) ->
AttackResult`, of one example (`drive.run`) or of a batch (`drive.hosted`); a
composition is a run of the same kind. Inside a trace each part is written out, so
that a composition of n parts compiles n programs in one.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from robust_jax.core import checks
from robust_jax.core.types import (
    Array,
    AttackResult,
    Goal,
    Key,
    LogitsFn,
    Threat,
    Towards,
    Untargeted,
)

Run = Callable[[Key, LogitsFn, Threat, Array, Goal], AttackResult]


def restarts(run: Run, times: int) -> Run:
    """The strongest of several runs that differ in their keys alone.

    Args:
        run: of an attack that draws, else every run gives the same.
        times: how many, >= 1.
    Returns: a run; forwards and backwards are those of all runs together.
    Raises: ValueError: if times is not an integer >= 1.

    >>> once = rj.core.drive.auto(rj.attacks.fgsm())  # A run of a batch.
    >>> run = rj.core.lift.in_tiles(rj.attacks.restarts(once, times=3))
    >>> keys, threat = rj.core.lift.item_keys(0, np.arange(3)), rj.threats.Linf(0.25)
    >>> run(keys, net, threat, images, rj.core.types.Untargeted(labels)).forwards
    array([9, 9, 9], dtype=int32)
    """
    checks.positive_integer("times", times)
    return strongest_of(*[run] * times)


def strongest_of(*runs: Run) -> Run:
    """Makes every run and keeps the largest margin; the earlier run on equality.

    Guarantees: at least as strong as each run with the key `fold_in(key, place)`.

    Args:
        runs: at least one, each of one example or each of a batch.
    Returns: a run; forwards and backwards are those of all runs together.
    Raises: ValueError: without runs.

    >>> once = rj.core.drive.auto(rj.attacks.fgsm())
    >>> run = rj.core.lift.in_tiles(rj.attacks.strongest_of(once, once))
    >>> keys, threat = rj.core.lift.item_keys(0, np.arange(3)), rj.threats.Linf(0.25)
    >>> run(keys, net, threat, images, rj.core.types.Untargeted(labels)).forwards
    array([6, 6, 6], dtype=int32)
    """
    _at_least_one(runs)

    def run_all(key, logits_fn, threat, x, goal):
        best = None
        for place, run in enumerate(runs):
            result = run(_fold_in(key, place), logits_fn, threat, x, goal)
            best = result if best is None else _stronger(best, result)
        return best

    return run_all


def then_if_failed(*runs: Run) -> Run:
    """Makes the runs in turn; an example that one of them won is spared the others.

    An example that none wins keeps the largest margin. A spared example pays no
    forwards and backwards; inside a trace the work is done all the same and thrown
    away, outside of one it is not even begun once every example is won.

    Args:
        runs: in order, usually the cheaper first; see `strongest_of`.
    Raises: ValueError: without runs.

    >>> once = rj.core.drive.auto(rj.attacks.fgsm())
    >>> run = rj.core.lift.in_tiles(rj.attacks.then_if_failed(once, once))
    >>> keys, threat = rj.core.lift.item_keys(0, np.arange(3)), rj.threats.Linf(0.25)
    >>> run(keys, net, threat, images, rj.core.types.Untargeted(labels)).forwards
    array([3, 6, 3], dtype=int32)
    """
    _at_least_one(runs)

    def run_in_turn(key, logits_fn, threat, x, goal):
        best = None
        for place, run in enumerate(runs):
            if best is not None and _all_known_true(best.margin >= 0):
                break
            result = run(_fold_in(key, place), logits_fn, threat, x, goal)
            if best is None:
                best = result
            else:
                best = _select(best.margin >= 0, best, _stronger(best, result))
        return best

    return run_in_turn


def over_targets(run: Run, targets: int = 9) -> Run:
    """Towards the likeliest wrong classes in turn, until one run succeeds.

    The targets are the classes other than the label, by the clean logits, largest
    first; any error is a success. With APGD and DLR this is AutoAttack's APGD-T, with
    FAB its FAB-T.

    Args:
        run: of one example or of a batch.
        targets: how many, >= 1; all wrong classes if there are fewer.
    Returns: a run for goals `Untargeted`; one more forward, for the clean logits.
    Raises: ValueError: if targets is not an integer >= 1; in a run, for another goal.

    >>> def run(key, logits_fn, threat, x, goal):  # It stays at x.
    ...     margin = rj.losses.objectives.margin(logits_fn(x), goal)
    ...     return rj.core.types.AttackResult(x, margin, jnp.float32(0), 1, 1)
    >>> net, threat = lambda x: jnp.array([3.0, 0.0, 2.0, 1.0]), rj.threats.Linf(0.1)
    >>> goal = rj.core.types.Untargeted(0)
    >>> over_two = rj.attacks.over_targets(run, targets=2)
    >>> found = jax.jit(lambda key, x: over_two(key, net, threat, x, goal))(
    ...     jax.random.key(0), images[0]
    ... )
    >>> found.margin, found.forwards  # Two runs and the clean pass.
    (Array(-1., dtype=float32), Array(3, dtype=int32, weak_type=True))
    """
    checks.positive_integer("targets", targets)

    def run_over_targets(key, logits_fn, threat, x, goal):
        if not isinstance(goal, Untargeted):
            raise ValueError(
                f"goal={type(goal).__name__}; expected Untargeted, whose targets "
                "over_targets chooses"
            )
        label = jnp.asarray(goal.label)
        logits = jax.vmap(logits_fn)(x) if label.ndim else logits_fn(x)
        order = _wrong_classes(logits, label)[..., :targets]
        towards = [_towards(run, order[..., k]) for k in range(order.shape[-1])]
        result = then_if_failed(*towards)(key, logits_fn, threat, x, goal)
        return result._replace(forwards=result.forwards + 1)

    return run_over_targets


def _towards(run: Run, target: Array) -> Run:
    def run_one_target(key, logits_fn, threat, x, goal):
        return run(key, logits_fn, threat, x, Towards(goal.label, target))

    return run_one_target


def _wrong_classes(logits: Array, label: Array) -> Array:
    """All classes but the label, by descending logits, shape [..., K - 1]."""
    is_label = jnp.arange(logits.shape[-1]) == label[..., None]
    order = jnp.argsort(jnp.where(is_label, -jnp.inf, logits), descending=True)
    return order[..., :-1]


def _stronger(old: AttackResult, new: AttackResult) -> AttackResult:
    """The larger margin, at the cost of both."""
    best = _select(new.margin > old.margin, new, old)
    return best._replace(
        forwards=old.forwards + new.forwards, backwards=old.backwards + new.backwards
    )


def _select(condition: Array, one: Any, other: Any) -> Any:
    def choose(a, b):
        extra = (1,) * (jnp.ndim(a) - condition.ndim)
        return jnp.where(condition.reshape(condition.shape + extra), a, b)

    return jax.tree.map(choose, one, other)


def _fold_in(key: Key, place: int) -> Key:
    if key.ndim:
        return jax.vmap(jax.random.fold_in, (0, None))(key, place)
    return jax.random.fold_in(key, place)


def _all_known_true(condition: Array) -> bool:
    return not isinstance(condition, jax.core.Tracer) and bool(jnp.all(condition))


def _at_least_one(runs: tuple[Run, ...]) -> None:
    if not runs:
        raise ValueError("runs=(); expected at least one; pass drive.run(attack)")
