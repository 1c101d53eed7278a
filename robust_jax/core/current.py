"""Attacks whose functions of the user's are what they are now; see `core.closures`."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from robust_jax.core import exports, factories, given
from robust_jax.core.closures import mark_of_now
from robust_jax.core.stepping import begin
from robust_jax.core.types import Array, Attack, Goal, Key, LogitsFn, Threat

_T = TypeVar("_T")


def attack_of_now(
    attack: Attack, key: Key, logits_fn: LogitsFn, threat: Threat, x: Array, goal: Goal
) -> Attack:
    """An attack on one example whose functions of the user's are as they are now.

    What such a function looks up is a constant of the attack's programs: with other
    values it is another attack, for which they are compiled anew. An attack of the
    library's own functions is given as it is.
    """
    product = factories.as_product(attack)
    return of_now(product, _every_part, key, logits_fn, threat, x, goal)


def of_now(product: _T, use: Callable[..., Any], *example: Any) -> _T:
    """As `attack_of_now`, by a function that uses all parts of what a factory made."""
    if exports.is_of_this_library(product) or given.is_traced(product, example):
        return product
    mark = mark_of_now(use, product, *example)
    return cast(_T, cast(factories.Product, product).marked(mark))


def _every_part(attack, key, logits_fn, threat, x, goal):
    state = begin(attack, key, logits_fn, threat, x, goal)
    judge = attack.judge or attack.step
    moved = attack.step(logits_fn, threat, state), judge(logits_fn, threat, state)
    return moved, attack.done(threat, state), attack.finish(threat, state)
