"""The decision boundary that a linearised net puts nearest, and the way to it."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from robust_jax.attacks.gradients import Climb, Gradient, Look, Scene
from robust_jax.core.types import Array, Goal, Key, LogitsFn, Threat, Untargeted
from robust_jax.losses import classification, objectives


class Crossable(Threat, Protocol):
    """A threat whose norm knows the shortest way onto a hyperplane."""

    def cross(self, normal: Array, gap: ArrayLike, x: Array) -> Array:
        """The smallest displacement in the box with `normal @ displacement = gap`."""
        ...

    def dual(self, grad: Array) -> Array:
        """The dual norm: what a displacement of size one can climb, shape []."""
        ...


class Nearby(NamedTuple):
    """Where one example is, and what it wants. As `gradients.Scene`, for any class."""

    key: Key
    logits_fn: LogitsFn
    threat: Crossable
    here: Array  # [*S]
    goal: Goal


def nearest(estimator: Gradient, scene: Nearby, memory: Any) -> tuple[Look, Any, int]:
    """The look at the boundary to go to, the memory and the number of gradients.

    `Untargeted` looks at the boundaries to all other classes, K - 1 gradients, and
    takes the one that is nearest in the threat's norm; `Towards` that between label and
    target; `Reach` that between the target and the best other class. The look's value
    is the lead of the other class: below zero on this side of its boundary.
    """
    return _chosen(estimator, scene, memory, lambda looks: _least(scene, looks))


def crossed(estimator: Gradient, scene: Nearby, memory: Any) -> tuple[Look, Any, int]:
    """As `nearest`; once other classes lead, the boundary to the one that leads most.

    That is the boundary which an adversarial point has crossed.
    """

    def choice(looks: Look) -> Array:
        lead = jnp.where(jnp.isfinite(looks.value), looks.value, -jnp.inf)
        return jnp.where(jnp.max(lead) >= 0, jnp.argmax(lead), _least(scene, looks))

    return _chosen(estimator, scene, memory, choice)


def _least(scene: Nearby, looks: Look) -> Array:
    """The index of the boundary that is nearest in the threat's norm."""
    dual = jax.vmap(scene.threat.dual)(looks.grad)
    known = (dual > 0) & jnp.isfinite(looks.value)
    distance = jnp.abs(looks.value) / jnp.where(known, dual, 1)
    return jnp.argmin(jnp.where(known, distance, jnp.inf))


def _chosen(
    estimator: Gradient,
    scene: Nearby,
    memory: Any,
    choice: Callable[[Look], Array],
) -> tuple[Look, Any, int]:
    """What `nearest` says; of all other classes' looks, [K - 1], the choice."""
    goal = scene.goal

    def looking(climb: Climb) -> tuple[Look, Any]:
        at = Scene(scene.key, scene.logits_fn, scene.threat, climb, scene.here)
        return estimator.look(at, memory)

    if not isinstance(goal, Untargeted):
        return *looking(lambda logits: objectives.margin(logits, goal)), 1
    num_classes = jax.eval_shape(scene.logits_fn, scene.here).shape[0]

    def towards(other: Array) -> Look:
        return looking(
            lambda logits: classification.logit_difference(logits, goal.label, other)
        )[0]

    others = (goal.label + jnp.arange(1, num_classes)) % num_classes
    looks = jax.vmap(towards)(others)  # What does not depend on the class runs once.
    index = choice(looks)
    return jax.tree.map(lambda a: a[index], looks), memory, num_classes - 1


def climbed(grad: Array, here: Array, x: Array) -> Array:
    """grad @ (here - x), shape [], in float32 at least; any pytree."""
    leaves = jax.tree.map(
        lambda g, a, b: jnp.sum(g * (a - b), dtype=jnp.promote_types(g.dtype, "f4")),
        grad,
        here,
        x,
    )
    return sum(jax.tree.leaves(leaves), jnp.zeros(()))


def check_use(
    attack: str, threat: Threat, goal: Goal | None = None, memory: Any = ()
) -> None:
    """Raises ValueError for a threat without hyperplanes, or a memory for all classes.

    Args:
        attack: its name, for the sentence.
        threat, goal: of the attack.
        memory: of the gradient's estimator, for attacks that ask for all classes.
    """
    if not hasattr(threat, "cross"):
        raise ValueError(
            f"threat={type(threat).__name__}; expected Linf, L2 or L1 for {attack}, "
            "which needs the distance to a hyperplane; use an attack made for this "
            "threat"
        )
    if isinstance(goal, Untargeted) and jax.tree.leaves(memory):
        raise ValueError(
            "goal=Untargeted with a gradient that has a memory; expected one without "
            f"for {attack}, which asks it for every class at once; use Towards"
        )
