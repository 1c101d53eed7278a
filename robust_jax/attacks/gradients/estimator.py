"""How an attack looks at its model: value, logits and a direction of ascent.

An estimator is handed to an attack (`pgd(gradient=...)`) and asked once per step. The
plain one differentiates; the others, in `transforms`, take one and change what it is
asked or what it answers, so that they compose with each other and with any attack.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.core.factories import factory
from robust_jax.core.types import Array, Key, LogitsFn, Threat

Climb = Callable[[Array], Array]  # logits [K] -> [], what is to be climbed


class Scene(NamedTuple):
    """What an estimator looks at, and with which eyes. One example."""

    key: Key  # of the draws of this look
    logits_fn: LogitsFn
    threat: Threat
    climb: Climb
    x: Array  # [*S]


class Look(NamedTuple):
    """What one look at the model shows."""

    value: Array  # [] the objective at x
    logits: Array  # [K] of the model at x
    grad: Array  # [*S] a direction that climbs the objective, every entry finite


class Gradient(NamedTuple):
    """An estimator of the objective's gradient. One example.

    `look` answers for the scene's x itself in `value` and `logits`, whatever points it
    visits for `grad`: the attack judges and remembers x.
    """

    init: Callable[[Array], Any]  # x [*S] -> memory, () if there is none
    look: Callable[[Scene, Any], tuple[Look, Any]]  # (scene, memory) -> (.., memory)
    forwards: int  # model evaluations of one look
    backwards: int  # gradients of one look


@factory()
def exact() -> Gradient:
    """The gradient itself, by one forward and one backward pass.

    Entries that are not finite count as zero.
    """

    def look(scene: Scene, memory: tuple[()]) -> tuple[Look, tuple[()]]:
        def value_and_logits(x):
            logits = scene.logits_fn(x)
            return scene.climb(logits), logits

        differentiated = jax.value_and_grad(value_and_logits, has_aux=True)
        (value, logits), grad = differentiated(scene.x)
        return Look(value, logits, finite(grad)), memory

    return Gradient(lambda x: (), look, forwards=1, backwards=1)


@factory()
def without() -> Gradient:
    """No gradient, zeros in its place: for attacks that ask for values alone."""

    def look(scene: Scene, memory: tuple[()]) -> tuple[Look, tuple[()]]:
        logits = scene.logits_fn(scene.x)
        nothing = jax.tree.map(jnp.zeros_like, scene.x)
        return Look(scene.climb(logits), logits, nothing), memory

    return Gradient(lambda x: (), look, forwards=1, backwards=0)


def finite(grad: Array) -> Array:
    """The gradient with zeros where its entries are not finite; any pytree."""
    return jax.tree.map(lambda g: jnp.where(jnp.isfinite(g), g, 0), grad)
