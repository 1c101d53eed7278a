"""Carlini and Wagner's Linf attack: Adam against a bound that falls with success."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.nearest import _tanh_box as tanh_box
from robust_jax.attacks.skeletons.common import chosen
from robust_jax.attacks.skeletons.minimum_norm import (
    Evaluated,
    NearState,
    largest_radius,
    minimum_norm,
)
from robust_jax.core import checks
from robust_jax.core.factories import factory
from robust_jax.core.facts import NEAREST, attack
from robust_jax.core.types import Array, Attack, Key, Threat
from robust_jax.losses import objectives

_SOLVED = 1e-4  # The authors' code: a loss below so much of const is a solution.


class _Settings(NamedTuple):
    """The arguments of `cw_linf` that the search needs."""

    iterations: int
    step_size: float
    first_const: float
    largest_const: float
    least_bound: float
    decrease: float
    slack: float


class _Own(NamedTuple):
    """What the attack remembers of one example."""

    adam: tanh_box.AdamState
    bound: Array  # [] the paper's tau
    const: Array  # []
    iteration: Array  # [] int32, with this bound and const
    over: Array  # [] bool


@attack(
    paper="Carlini & Wagner, S&P 2017",
    norms=("linf",),
    finds=NEAREST,
    short={
        "iterations": 17,
        "step_size": 0.05,
        "first_const": 0.3,
        "least_bound": 0.01,
        "decrease": 0.8,
        "slack": 0.1,
    },
    derives=True,
)
def cw_linf(
    iterations: int = 1_000,
    step_size: float = 0.005,
    first_const: float = 1e-5,
    largest_const: float = 20.0,
    least_bound: float = 1 / 256,
    decrease: float = 0.9,
    slack: float = 1e-6,
    gradient: Gradient | None = None,
) -> Attack:
    """Carlini and Wagner's attack: the smallest perturbation in Linf.

    Adam minimises sum(max(0, |delta| - bound)) + const * max(0, -margin), in the
    variable of tanh (see `cw_l2`). As soon as that is solved, the bound falls to
    `decrease` times itself or, if it is less, the distance found, and the search goes
    on from there; if it is not solved in time, const doubles. It ends when const or
    bound leave their ranges.
    Guarantees: every iterate is in the box, and the first is x, to the bit; of all
    iterates the nearest that is adversarial and within eps is returned; deterministic;
    dtype kept.
    Edge cases: what is found is no nearer to the optimum than the bound's last fall,
    and not sought below `least_bound`. Faces of the box and the slack: as in `cw_l2`.
    The bound starts at eps, or at the distance to the farthest corner of the box if
    that is less. Non-finite logits count as success.

    Args:
        iterations: of Adam for one bound and const, each of 1 forward and 1 backward,
            >= 1. The budget is this times the number of times that const may double
            and the bound fall; most examples end long before.
        step_size: of Adam, in the variable of tanh, > 0.
        first_const: the weight of the margin at first, pixel units per logit, > 0.
        largest_const: the search ends at this const, > first_const.
        least_bound: the search ends at this bound, pixel units, in (0, 1).
        decrease: what is left of the bound after a success, in (0, 1).
        slack: by how much tanh's box is wider than the threat's, relative, >= 1e-6.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside these ranges; when it is first run, for
        a threat other than Linf.
    References: Carlini & Wagner, "Towards Evaluating the Robustness of Neural
        Networks", S&P 2017, Sec. VI.C. Differs from the authors' code in: the distance
        is measured from x, not from x as tanh gives it back; every adversarial iterate
        counts for what is returned; the bound starts at eps or the box, not at 1; Adam
        starts anew with every const, too; the loss is divided by 1 + const, to which
        Adam is blind.

    >>> rj.attacks.by_name("cw_linf").short().steps
    476
    """
    checks.positive_integer("iterations", iterations)
    checks.positive_number("step_size", step_size)
    checks.positive_number("first_const", first_const)
    check_largest_const(largest_const, first_const)
    checks.share("least_bound", least_bound)
    checks.share("decrease", decrease)
    tanh_box.check_slack(slack)
    settings = _Settings(
        iterations, step_size, first_const, largest_const, least_bound, decrease, slack
    )
    doublings = math.ceil(math.log2(largest_const / first_const))
    falls = math.ceil(math.log(least_bound) / math.log(decrease))
    return _cw_linf(settings, (doublings + falls) * iterations - 1, gradient)


@factory()
def _cw_linf(settings: _Settings, steps: int, gradient: Gradient | None) -> Attack:

    def start(key: Key, threat: Threat, x: Array) -> tuple[Array, _Own]:
        if not isinstance(threat, threats.Linf):
            name = type(threat).__name__
            raise ValueError(f"threat={name}; expected threats.Linf for cw_linf")
        least = settings.least_bound / settings.decrease
        return x, _Own(
            adam=tanh_box.at_start(x),
            bound=jnp.maximum(largest_radius(threat, x), least),
            const=jnp.full((), settings.first_const, jnp.float32),
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
    own = state.own
    hinge = jnp.maximum(-at.value, 0)
    loss = _excess(own.bound, state.iterate, state.x) + own.const * hinge
    solved = (loss < _SOLVED * own.const) & (at.margin >= 0)
    failed = ~solved & (own.iteration + 1 >= settings.iterations)
    fallen = settings.decrease * jnp.minimum(own.bound, at.distance)
    bound = jnp.where(solved, fallen, own.bound)
    const = jnp.where(failed, 2 * own.const, own.const)
    weight = jnp.where(hinge > 0, const, 0)
    slope = jax.tree.map(
        lambda a, x, g: (_beyond(bound, a - x) - weight * g) / (1 + const),
        state.iterate,
        state.x,
        at.grad,
    )
    new = solved | failed
    adam = chosen(new, tanh_box.restarted(own.adam.shift), own.adam)
    adam = tanh_box.stepped(
        threat, state.x, adam, slope, settings.step_size, settings.slack
    )
    iterate = tanh_box.inside(threat, state.x, adam.shift, settings.slack)
    iteration = jnp.where(new, 0, own.iteration + 1)
    over = (bound <= settings.least_bound) | (const >= settings.largest_const)
    return iterate, _Own(adam, bound, const, iteration, over)


def _beyond(bound: Array, delta: Array) -> Array:
    """The slope of max(0, |delta| - bound)."""
    return jnp.where(jnp.abs(delta) > bound, jnp.sign(delta), 0)


def _excess(bound: Array, x: Array, x0: Array) -> Array:
    """The sum of max(0, |x - x0| - bound), shape []."""
    beyond = jax.tree.map(lambda a, b: jnp.maximum(jnp.abs(a - b) - bound, 0), x, x0)
    return threats.L1(jnp.inf).distance(beyond, jax.tree.map(jnp.zeros_like, x0))


def check_largest_const(value: Any, first_const: float) -> None:
    """Raises ValueError unless the value is finite and above the first const."""
    checks.positive_number("largest_const", value)
    wanted = f"more than first_const={first_const!r}"
    checks.holds("largest_const", value, lambda v: v > first_const, wanted)
