"""sigma-zero: the fewest coordinates, by a smooth count and a threshold that adapts."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.skeletons.minimum_norm import (
    Evaluated,
    NearState,
    along,
    half_cosine,
    in_box,
    minimum_norm,
)
from robust_jax.core import checks
from robust_jax.core.facts import NEAREST, attack
from robust_jax.core.types import Array, Attack, Key, Threat
from robust_jax.losses import objectives


class _Own(NamedTuple):
    adam: Any
    threshold: Array  # [] pixel units; smaller displacements are undone


@attack(
    paper="Cina et al., ICLR 2025", norms=("l0",), finds=NEAREST, short={"steps": 498}
)
def sigma_zero(
    steps: int = 1000,
    step_size: float = 1.0,
    sigma: float = 1e-3,
    threshold: float = 0.3,
    adaptation: float = 0.01,
    gradient: Gradient | None = None,
) -> Attack:
    """The sparse attack sigma-zero, for L0.

    Descends, by Adam on gradients of largest entry one, the positive part of the
    label's lead plus the mean of delta^2 / (delta^2 + sigma), a smooth count of the
    coordinates that moved. After each step, displacements below a threshold are undone;
    it rises after an adversarial iterate and falls after another, by `adaptation` times
    the step size, which falls to a tenth by half a cosine.
    Guarantees: every iterate is in the box and moves at most eps coordinates; of all
    iterates that are adversarial, the one which moves fewest is returned;
    deterministic; dtype kept.
    Edge cases: eps = inf leaves the number to the attack; until a success, the
    strongest iterate is kept; a zero gradient does not move.

    Args:
        steps: moves, each of 1 forward and 1 backward, >= 1.
        step_size: of Adam at first, pixel units, > 0.
        sigma: smoothness of the count, > 0; smaller is sharper.
        threshold: the first one, pixel units, in (0, 1).
        adaptation: of the threshold, relative to the step size, > 0.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside these ranges; when it is first run, for
        a threat other than L0.
    References: Cina et al., "Sigma-zero: Gradient-based Optimization of l0-norm
        Adversarial Examples", ICLR 2025, Alg. 1. Differs from the authors' code in: a
        tie of logits is a success; eps, of which theirs knows nothing, caps the
        coordinates of every iterate if it is finite.

    >>> rj.attacks.sigma_zero(steps=100, threshold=0.1)
    sigma_zero(steps=100, step_size=1.0, sigma=0.001, threshold=0.1, adaptation=0.01)
    """
    checks.positive_integer("steps", steps)
    checks.positive_number("step_size", step_size)
    checks.positive_number("sigma", sigma)
    checks.share("threshold", threshold)
    checks.positive_number("adaptation", adaptation)
    adam = optax.scale_by_adam()

    def start(key: Key, threat: Threat, x: Array) -> tuple[Array, _Own]:
        if not isinstance(threat, threats.L0):
            name = type(threat).__name__
            raise ValueError(
                f"threat={name}; expected threats.L0 for sigma_zero; use fmn"
            )
        return x, _Own(adam.init(x), jnp.asarray(threshold, jnp.float32))

    def move(threat: Threat, state: NearState, at: Evaluated) -> tuple[Array, _Own]:
        delta = jax.tree.map(jnp.subtract, state.iterate, state.x)
        size = sum(leaf.size for leaf in jax.tree.leaves(delta))
        lost = at.value < 0  # The label leads.

        def descent(grad: Array, d: Array) -> Array:
            count = 2 * sigma * d / (d**2 + sigma) ** 2 / size
            return count - jnp.where(lost, grad, 0)

        slope = unit_linf(jax.tree.map(descent, at.grad, delta))
        direction, memory = adam.update(slope, state.own.adam)
        # The first two steps have the full size, as in the authors' code.
        length = step_size * half_cosine(0.1, steps, jnp.maximum(state.i - 1, 0))
        ahead = in_box(threat, along(state.iterate, -length, direction))
        change = adaptation * step_size * half_cosine(0.1, steps, state.i)
        level = state.own.threshold + jnp.where(at.margin >= 0, change, -change)
        level = jnp.clip(level, 0, 1)
        sparse = jax.tree.map(
            lambda a, x: jnp.where(jnp.abs(a - x) < level, x, a), ahead, state.x
        )
        return threat.project(sparse, state.x), _Own(memory, level)

    return minimum_norm(objectives.margin, start, move, steps=steps, gradient=gradient)


def unit_linf(grad: Array) -> Array:
    """The gradient with largest absolute entry one, zero if it is zero; any pytree."""
    largest = optax.tree.max(jax.tree.map(jnp.abs, grad))
    return jax.tree.map(lambda g: g / jnp.where(largest > 0, largest, 1), grad)
