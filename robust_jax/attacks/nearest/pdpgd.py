"""PDPGD: primal descent with proximal steps, dual ascent on the constraint's weight."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.skeletons.minimum_norm import Evaluated, NearState, minimum_norm
from robust_jax.core import checks
from robust_jax.core.facts import NEAREST, attack
from robust_jax.core.types import Array, Attack, Key, Threat
from robust_jax.losses import objectives

_DECAYS = (0.9, 0.999)  # Adam's.
_TINY = 1e-8
_DUAL = 0.1  # Rate of the dual ascent, which falls to a tenth of it.
_LEAST_RATIO = 1e-6  # Of the weights of distance and constraint, either way.
_MEMORY = 0.9  # Of the weights' running mean.
_ENOUGH = 1e-2  # Relative change at which the proximal iteration stops.


class _Own(NamedTuple):
    mean: Array  # [d] of the slopes
    square: Array  # [d] of their squares
    dual: Array  # [] logarithm of the weights' ratio
    weight: Array  # [] running mean of the distance's weight, in (0, 1)


@attack(
    paper="Matyasko & Chau 2021",
    norms=("linf", "l2", "l1", "l0"),
    finds=NEAREST,
    short={"steps": 498},
)
def pdpgd(
    steps: int = 500,
    step_size: float = 0.1,
    final_step: float = 0.01,
    first_ratio: float = 0.01,
    proximal_steps: int = 5,
    gradient: Gradient | None = None,
) -> Attack:
    """Primal-dual proximal gradient descent, for Linf, L2, L1 and L0.

    Seeks a saddle of w_0 * distance + w_1 * softplus(-margin): Adam on the softplus,
    the distance by its proximal operator in Adam's metric (L0: that of the L_{2/3}
    norm), and ascent of the logarithm of w_1 / w_0 while the iterate is not
    adversarial, descent while it is. Adam's step falls exponentially, the dual's
    linearly.
    Guarantees: every iterate is in the box; of all iterates the nearest that is
    adversarial and within eps is returned; deterministic; dtype kept.
    Edge cases: eps caps only what is kept, in L0 also the iterates; until a success,
    the strongest iterate within eps is kept; a zero gradient leaves the distance to
    shrink.

    Args:
        steps: moves, each of 1 forward and 1 backward, >= 2.
        step_size: of Adam at first, pixel units, > 0.
        final_step: last step size as a share of the first, in (0, 1).
        first_ratio: of the distance's weight to the constraint's, in (0, 1).
        proximal_steps: iterations of the proximal operator in Adam's metric, >= 1.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside these ranges.
    References: Matyasko & Chau, "PDPGD: Primal-Dual Proximal Gradient Descent
        Adversarial Attack", 2021. Differs from the authors' code in: the proximal
        operator of L_{2/3} is that of its global minimum; a tie of logits is a success;
        in L0 eps caps the iterates.

    >>> rj.attacks.pdpgd(steps=100, step_size=0.3)
    pdpgd(steps=100, step_size=0.3, final_step=0.01, first_ratio=0.01, proximal_steps=5)
    """
    checks.positive_integer("steps", steps)
    checks.holds("steps", steps, lambda v: v >= 2, "an integer >= 2")
    checks.positive_number("step_size", step_size)
    checks.share("final_step", final_step)
    checks.share("first_ratio", first_ratio)
    checks.positive_integer("proximal_steps", proximal_steps)

    def start(key: Key, threat: Threat, x: Array) -> tuple[Array, _Own]:
        checks.threat("pdpgd", threat, "linf", "l2", "l1", "l0")
        flat = ravel_pytree(x)[0].astype(jnp.float32)
        zeros, ratio = jnp.zeros_like(flat), jnp.asarray(first_ratio, jnp.float32)
        return x, _Own(zeros, zeros, -jnp.log(ratio), ratio / (1 + ratio))

    def move(
        threat: threats.Ball, state: NearState, at: Evaluated
    ) -> tuple[Array, _Own]:
        x, restore = ravel_pytree(state.x)
        here, box = ravel_pytree(state.iterate)[0] - x, _box(threat, state.x)
        # The slope of softplus(-margin).
        slope = -jax.nn.sigmoid(-at.value) * ravel_pytree(at.grad)[0]
        own, direction, metric = _adam(state.own, slope, state.i)
        length = step_size * final_step ** (state.i / steps)
        ahead = jnp.clip(x + here - length * direction, *box) - x
        stiffest = jnp.max(metric)
        weight = own.weight / (1 - own.weight) * length / stiffest
        moved = _proximal(
            threat, x, ahead, metric / stiffest, weight, box, proximal_steps
        )
        ahead = restore(x + moved)
        if isinstance(threat, threats.L0):
            ahead = threat.project(ahead, state.x)  # Else all coordinates would move.
        return ahead, _next_weights(own, at.margin, state.i, steps)

    return minimum_norm(objectives.margin, start, move, steps=steps, gradient=gradient)


def _adam(own: _Own, slope: Array, i: Array) -> tuple[_Own, Array, Array]:
    """The moments, the direction and the metric (root of the second moment)."""
    first, second = _DECAYS
    mean = first * own.mean + (1 - first) * slope
    square = second * own.square + (1 - second) * slope**2
    metric = jnp.sqrt(square / (1 - second ** (i + 1.0))) + _TINY
    direction = mean / (1 - first ** (i + 1.0)) / metric
    return own._replace(mean=mean, square=square), direction, metric


def _next_weights(own: _Own, margin: Array, i: Array, steps: int) -> _Own:
    rate = _DUAL * ((steps - 1 - i) / (steps - 1) * 0.9 + 0.1)
    most = -jnp.log(_LEAST_RATIO)
    dual = jnp.clip(own.dual - rate * jnp.sign(margin), -most, most)
    weight = _MEMORY * own.weight + (1 - _MEMORY) * jax.nn.sigmoid(-dual)
    return own._replace(dual=dual, weight=weight)


def _proximal(
    threat: threats.Ball,
    x: Array,
    target: Array,
    metric: Array,
    weight: Array,
    box: tuple[Array, Array],
    steps: int,
) -> Array:
    """The displacement that trades the distance to `target` in a metric for its size.

    Proximal gradient steps, frozen once they change little, as in proximal Adam
    (Melchior et al. 2019).
    """

    def one(_: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        now, over = carry
        new = threat.proximal(now - metric * (now - target), weight)
        new = jnp.where(over, now, jnp.clip(x + new, *box) - x)
        size = threats.L2.size(new)
        change = threats.L2.size(new - now) / jnp.where(size > 0, size, 1)
        return new, over | (change <= _ENOUGH)

    return jax.lax.fori_loop(0, steps, one, (target, jnp.asarray(False)))[0]


def _box(threat: Threat, x: Array) -> tuple[Array, Array]:
    def face(bound: Any) -> Array:
        full = jax.tree.map(lambda leaf: jnp.broadcast_to(bound, leaf.shape), x)
        return ravel_pytree(full)[0]

    return face(threat.lower), face(threat.upper)
