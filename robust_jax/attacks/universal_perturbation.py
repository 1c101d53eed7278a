"""One perturbation for many examples: universal displacements, trained patches."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from robust_jax import optim
from robust_jax.attacks.gradients.estimator import finite
from robust_jax.core import checks
from robust_jax.core.factories import factory
from robust_jax.core.types import (
    Array,
    Goal,
    Key,
    LogitsFn,
    PlacedThreat,
    SharedAttack,
    SharedState,
    Threat,
)
from robust_jax.losses import objectives

_LEARNING_RATE = 0.05  # Of a patch, in widths of the box.


@factory()
def universal(
    steps: int = 500,
    relative_step: float = 0.05,
    objective: objectives.Objective = objectives.cross_entropy,
    most: float = 9.0,
) -> SharedAttack:
    """One displacement that fools as many images as it can: ascent on batches.

    Climbs the mean over a batch of min(objective, most), so that a few images that
    are lost already do not outweigh the others, by steepest steps of the threat,
    projected onto the ball; images are clipped to the box.
    Guarantees: every image is feasible; deterministic in key.
    Edge cases: eps = 0 gives no displacement.

    Args:
        steps: >= 1, each of one batch.
        relative_step: as a multiple of eps, > 0.
        objective: the quantity to climb.
        most: beta of the paper, above which an image does not count.
    Raises: ValueError: arguments outside these ranges.
    References: Shafahi et al., "Universal Adversarial Training", AAAI 2020, Alg. 2;
        the aim is that of Moosavi-Dezfooli et al., "Universal adversarial
        perturbations", CVPR 2017. Differs from it in: steepest steps of any ball.

    >>> rj.attacks.universal(steps=100, relative_step=0.1)
    universal(steps=100, relative_step=0.1, most=9.0)
    """
    checks.positive_number("relative_step", relative_step)
    checks.positive_number("most", most)

    def place(key: Key, threat: Threat, x: Array, shared: Array) -> Array:
        return threat.project(x + shared, x)

    def rule(threat: Threat) -> optax.GradientTransformation:
        return optim.steepest(relative_step)(_unboxed(threat))

    def project(threat: Threat, shared: Array) -> Array:
        return _unboxed(threat).project(shared, jnp.zeros_like(shared))

    def start(key: Key, threat: Threat, x: Array) -> Array:
        return jnp.zeros_like(x)

    def capped(logits: Array, goal: Goal) -> Array:
        return jnp.minimum(objective(logits, goal), most)

    return _shared(_Parts(start, place, rule, project, capped), steps)


@factory()
def trained_patch(
    steps: int = 1_000,
    learning_rate: float = _LEARNING_RATE,
    objective: objectives.Objective = objectives.cross_entropy,
) -> SharedAttack:
    """One patch that fools images wherever it lies: Adam over random places.

    For the threat `Patch`; a step puts the patch at a random place of each image of a
    batch and climbs the mean objective. `drive.shared` gives a canvas, whose upper left
    corner is the patch.
    Guarantees: the patch is in the box; deterministic in key.

    Args:
        steps: >= 1, each of one batch.
        learning_rate: of Adam, in widths of the box, > 0.
        objective: the quantity to climb; with the goal `Reach` the patch of the paper.
    Raises: ValueError: arguments outside these ranges; while tracing, another threat.
    References: Brown et al., "Adversarial Patch", 2017. Differs from it in: squares;
        places alone vary, not scale and rotation.

    >>> rj.attacks.trained_patch(steps=200)
    trained_patch(steps=200, learning_rate=0.05)
    """
    checks.positive_number("learning_rate", learning_rate)

    def place(key: Key, threat: PlacedThreat, x: Array, shared: Array) -> Array:
        at = jax.random.randint(key, (2,), 0, threat.room(x) + 1, jnp.int32)
        return threat.paste(x, shared, at)

    def rule(threat: Threat) -> optax.GradientTransformation:
        return optax.adam(learning_rate)

    def project(threat: Threat, shared: Array) -> Array:
        return jnp.clip(shared, threat.lower, threat.upper)

    def start(key: Key, threat: Threat, x: Array) -> Array:
        checks.threat("trained_patch", threat, "patch")
        unit = jax.random.uniform(key, x.shape, x.dtype)
        return threat.lower + unit * (threat.upper - threat.lower)

    return _shared(_Parts(start, place, rule, project, objective), steps)


class _Parts(NamedTuple):
    """What tells one shared attack from another."""

    start: Callable[[Key, Any, Array], Array]
    place: Callable[[Key, Any, Array, Array], Array]
    rule: Callable[[Any], optax.GradientTransformation]
    project: Callable[[Any, Array], Array]
    objective: objectives.Objective


def _shared(parts: _Parts, steps: int) -> SharedAttack:
    checks.positive_integer("steps", steps)

    def init(key: Key, threat: Threat, x: Array) -> SharedState:
        found = parts.start(key, threat, x)
        rule, zero = parts.rule(threat).init(found), jnp.zeros((), jnp.int32)
        return SharedState(key, found, rule, zero, jnp.zeros((), jnp.float32))

    def step(
        logits_fn: LogitsFn, threat: Threat, state: SharedState, x: Array, goal: Goal
    ) -> SharedState:
        keys = jax.random.split(jax.random.fold_in(state.key, state.i), len(x))

        def climbed(shared: Array) -> Array:
            def one(key: Key, image: Array, its_goal: Goal) -> Array:
                placed = parts.place(key, threat, image, shared)
                return parts.objective(logits_fn(placed), its_goal)

            return jnp.mean(jax.vmap(one)(keys, x, goal))

        value, grad = jax.value_and_grad(climbed)(state.shared)
        descent = -finite(grad)  # Optax descends.
        update, rule = parts.rule(threat).update(descent, state.rule, state.shared)
        moved = parts.project(threat, state.shared + update)
        return state._replace(
            shared=moved.astype(state.shared.dtype),
            rule=rule,
            i=state.i + 1,
            value=value.astype(state.value.dtype),
        )

    return SharedAttack(init, step, parts.place, steps)


def _unboxed(threat: Threat) -> Any:
    """The ball alone: a displacement is bounded, images are clipped."""
    return threat.replace(lower=-jnp.inf, upper=jnp.inf)
