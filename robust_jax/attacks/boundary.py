"""The decision boundary that a linearised net puts nearest, and the way to it."""

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
    dual = jax.vmap(scene.threat.dual)(looks.grad)
    known = (dual > 0) & jnp.isfinite(looks.value)
    distance = jnp.abs(looks.value) / jnp.where(known, dual, 1)
    nearest = jnp.argmin(jnp.where(known, distance, jnp.inf))
    return jax.tree.map(lambda a: a[nearest], looks), memory, num_classes - 1


def check_use(attack: str, threat: Threat, goal: Goal, memory: Any) -> None:
    """Raises ValueError for a threat without hyperplanes, or a memory for all classes.

    Args:
        attack: its name, for the sentence.
        threat, goal: of the attack.
        memory: of the gradient's estimator.
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
