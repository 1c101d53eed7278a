"""Carlini and Wagner's L0 attack: solve in L2, freeze what matters least, repeat."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.nearest import _tanh_box as tanh_box
from robust_jax.attacks.nearest.carlini_wagner_linf import check_largest_const
from robust_jax.attacks.skeletons.common import chosen
from robust_jax.attacks.skeletons.minimum_norm import Evaluated, NearState, minimum_norm
from robust_jax.core import checks
from robust_jax.core.facts import NEAREST, attack
from robust_jax.core.types import Array, Attack, Key, Threat
from robust_jax.losses import objectives

# All from the authors' code: how many coordinates a solution freezes, the effect on
# the margin above which no further one is, and the least change that is one.
_SHARE, _MATTERS, _CHANGED = 0.3, 0.01, 1e-4


class _Settings(NamedTuple):
    """The arguments of `cw_l0` that a move needs."""

    iterations: int
    step_size: float
    largest_const: float
    slack: float


class _Own(NamedTuple):
    """What the attack remembers of one example."""

    adam: tanh_box.AdamState
    free: Array  # [*S] bool: may still change
    const: Array  # []
    iteration: Array  # [] int32, with this const and these free coordinates
    over: Array  # [] bool


@attack(
    paper="Carlini & Wagner, S&P 2017",
    norms=("l0",),
    finds=NEAREST,
    short={
        "steps": 498,
        "iterations": 30,
        "step_size": 0.1,
        "first_const": 1.0,
        "slack": 0.1,
    },
)
def cw_l0(
    steps: int = 50_000,
    iterations: int = 1_000,
    step_size: float = 0.01,
    first_const: float = 1e-3,
    largest_const: float = 2e6,
    slack: float = 1e-6,
    gradient: Gradient | None = None,
) -> Attack:
    """Carlini and Wagner's attack: the fewest coordinates, L0.

    Adam minimises |delta|^2 + const * max(0, -margin) over the free coordinates, in the
    variable of tanh (see `cw_l2`). Each success freezes, at their clean values, the
    coordinates whose change times the margin's gradient is least: 0.3 times the square
    root of the number that changed, but at most one by which the margin moves more
    than 0.01. The search goes on from there; if it fails, const doubles. It ends when
    const reaches its largest or nothing is free.
    Guarantees: every iterate is in the box, and the first is x, to the bit; frozen
    coordinates are x to the bit; of all iterates the nearest that is adversarial and
    within eps is returned; deterministic; dtype kept.
    Edge cases: a coordinate is one number, one channel of one pixel. Faces of the box
    and the slack: as in `cw_l2`. eps caps what is kept, not the search. Non-finite
    logits count as success.

    Args:
        steps: moves in all, each of 1 forward and 1 backward, >= 1; most examples end
            long before the default.
        iterations: of Adam until const doubles, >= 1.
        step_size: of Adam, in the variable of tanh, > 0.
        first_const: the weight of the margin at first, squared pixel units per logit,
            > 0.
        largest_const: the search ends at this const, > first_const.
        slack: by how much tanh's box is wider than the threat's, relative, >= 1e-6.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside these ranges; when it is first run, for
        a threat other than L0.
    References: Carlini & Wagner, "Towards Evaluating the Robustness of Neural
        Networks", S&P 2017, Sec. VI.B. Differs from the authors' code in: channels are
        independent (an option there); the margin's gradient decides, as in the paper,
        not the loss's, and of equal effects the least change; a success is a margin >=
        0, not 0.01; the number of steps is bounded; the distance is measured from x;
        every adversarial iterate counts for what is returned; Adam starts anew with
        every const, too; the loss is divided by 1 + const, to which Adam is blind.

    >>> rj.attacks.by_name("cw_l0").short()
    cw_l0(steps=498, iterations=30, step_size=0.1, first_const=1.0,
    largest_const=2000000.0, slack=0.1)
    """
    checks.positive_integer("steps", steps)
    checks.positive_integer("iterations", iterations)
    checks.positive_number("step_size", step_size)
    checks.positive_number("first_const", first_const)
    check_largest_const(largest_const, first_const)
    tanh_box.check_slack(slack)
    settings = _Settings(iterations, step_size, largest_const, slack)

    def start(key: Key, threat: Threat, x: Array) -> tuple[Array, _Own]:
        if not isinstance(threat, threats.L0):
            name = type(threat).__name__
            raise ValueError(f"threat={name}; expected threats.L0 for cw_l0")
        return x, _Own(
            adam=tanh_box.at_start(x),
            free=jax.tree.map(lambda a: jnp.ones(a.shape, bool), x),
            const=jnp.full((), first_const, jnp.float32),
            iteration=jnp.zeros((), jnp.int32),
            over=jnp.zeros((), bool),
        )

    return minimum_norm(
        objectives.margin,
        start,
        functools.partial(_move, settings),
        steps=steps,
        gradient=gradient,
        over=lambda own: own.over,
    )


def _move(
    settings: _Settings, threat: Threat, state: NearState, at: Evaluated
) -> tuple[Array, _Own]:
    own, const, grad = state.own, state.own.const, at.grad
    away = jax.tree.map(jnp.subtract, state.iterate, state.x)
    weight = jnp.where(at.value < 0, const, 0)
    slope = jax.tree.map(lambda a, g: (2 * a - weight * g) / (1 + const), away, grad)
    adam = tanh_box.stepped(
        threat, state.x, own.adam, slope, settings.step_size, settings.slack
    )
    solved = at.margin >= 0
    failed = ~solved & (own.iteration + 1 >= settings.iterations)
    free = chosen(solved, _still_free(own.free, away, grad), own.free)
    shift = chosen(solved, own.adam.shift, adam.shift)
    shift = jax.tree.map(lambda a, keep: jnp.where(keep, a, 0), shift, free)
    new = solved | failed
    adam = chosen(new, tanh_box.restarted(shift), adam._replace(shift=shift))
    const = jnp.where(failed, 2 * const, const)
    nothing = ~jax.tree.reduce(jnp.logical_or, jax.tree.map(jnp.any, free))
    iterate = tanh_box.inside(threat, state.x, shift, settings.slack)
    return iterate, _Own(
        adam=adam,
        free=free,
        const=const,
        iteration=jnp.where(new, 0, own.iteration + 1),
        over=(const >= settings.largest_const) | nothing,
    )


def _still_free(free: Array, delta: Array, grad: Array) -> Array:
    """What stays free after a solution: all but what matters least, [*S] bool."""
    flat_delta, restore = ravel_pytree(delta)
    flat_free, effect = ravel_pytree(free)[0], flat_delta * ravel_pytree(grad)[0]
    effect = jnp.where(flat_free, jnp.abs(effect), jnp.inf)
    # Of equal effects, as where the gradient vanishes, the least change goes first.
    rank = jnp.argsort(jnp.lexsort((jnp.abs(flat_delta), effect)))
    small = jnp.sum(effect <= _MATTERS)
    changed = jnp.sum(jnp.abs(flat_delta) >= _CHANGED)
    most = jnp.maximum(_SHARE * jnp.sqrt(changed.astype(jnp.float32)), 1)
    frozen = (rank < most) & (rank <= small)
    kept = restore((flat_free & ~frozen).astype(flat_delta.dtype))
    return jax.tree.map(lambda a: a > 0, kept)
