"""Carlini & Wagner's attack: a penalised distance, descended behind a tanh."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from robust_jax import threats
from robust_jax.attacks.gradients import Gradient
from robust_jax.attacks.minimum_norm import NearState, Sight, minimum_norm
from robust_jax.attacks.skeleton import chosen
from robust_jax.core import checks
from robust_jax.core.memo import memoised
from robust_jax.core.types import Array, Attack, Key
from robust_jax.losses import objectives

_INSIDE = 1 - 1e-6  # On a face of the box the change of variables has no slope.
_LARGEST = 1e10  # Of the constant; the authors' code.
_LOOKS = 10  # At the loss in a round, to end one that gets nowhere.
_BARELY = 0.9999
_ADAM = optax.scale_by_adam()


class _Own(NamedTuple):
    hidden: Array  # [*S] the iterate is middle + half * tanh(hidden)
    adam: Any
    constant: Array  # [] weight of the margin, the paper's c
    low: Array  # [] the largest constant that failed
    high: Array  # [] the smallest that succeeded
    place: Array  # [] int32, of the iterate in its round
    won: Array  # [] bool, this round has had a success
    loss: Array  # [] at the last look


@memoised
def cw_l2(
    steps: int = 10_000,
    iterations: int = 1000,
    step_size: float = 0.01,
    constant: float = 1e-3,
    gradient: Gradient | None = None,
) -> Attack:
    """The attack of Carlini & Wagner for L2.

    Minimises ||delta||^2 + c * max(-margin, 0) by Adam over a variable
    whose tanh, scaled to the box, is the iterate. Rounds of `iterations` steps begin
    at x and search for c: tenfold until one succeeds, then halfway between the largest
    that failed and the smallest that succeeded. A round whose loss falls by less than
    1 in 10,000 within a tenth of its steps ends early, which leaves more for others.
    Guarantees: every iterate is in the box; of all iterates the nearest that is
    adversarial and within eps is returned; deterministic; dtype kept.
    Edge cases: coordinates on a face of the box begin 5e-7 of its width inside; eps
    caps only what is kept; until a success, the strongest iterate within eps is kept.

    Args:
        steps: moves of all rounds, each of 1 forward and 1 backward, >= 1; the authors
            have 9 rounds of 10,000.
        iterations: moves of a round, >= 1.
        step_size: of Adam, in the variable behind the tanh, > 0.
        constant: the first c, > 0.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside these ranges; when it is first run, for
        a threat other than L2.
    References: Carlini & Wagner, "Towards Evaluating the Robustness of Neural
        Networks", S&P 2017, Sec. VI. Differs from the authors' code in: a budget for
        all rounds, so that more than 9 are possible; rounds end early by example; no
        confidence, since any margin >= 0 is a success here.
    """
    checks.positive_integer("steps", steps)
    checks.positive_integer("iterations", iterations)
    checks.positive_number("step_size", step_size)
    checks.positive_number("constant", constant)

    def start(key: Key, threat: Any, x: Array) -> tuple[Array, _Own]:
        return x, _first(threat, x, constant)

    def move(threat: Any, state: NearState, sight: Sight) -> tuple[Array, _Own]:
        look = state.own.place % max(iterations // _LOOKS, 1) == 0
        on, stuck = _descended(threat, state, sight, step_size, look)
        anew = _next_round(on, _first(threat, state.x, constant))
        on = chosen(stuck | (on.place >= iterations), anew, on)
        return _before(threat, on.hidden), on

    return minimum_norm(objectives.margin, start, move, steps=steps, gradient=gradient)


def _first(threat: Any, x: Array, constant: float) -> _Own:
    """A round's first state."""
    if not isinstance(threat, threats.L2):
        name = type(threat).__name__
        raise ValueError(f"threat={name}; expected threats.L2 for cw_l2; use fmn")
    hidden, zero = _behind(threat, x), jnp.zeros((), jnp.float32)
    return _Own(
        hidden,
        _ADAM.init(hidden),
        constant=zero + constant,
        low=zero,
        high=zero + _LARGEST,
        place=jnp.zeros((), jnp.int32),
        won=jnp.zeros((), bool),
        loss=zero + jnp.inf,
    )


def _descended(
    threat: Any, state: NearState, sight: Sight, step_size: float, look: Array
) -> tuple[_Own, Array]:
    """One step of Adam; and whether, at a look, the loss has hardly fallen."""
    own, lacks = state.own, sight.look.value < 0
    slope = jax.tree.map(
        lambda a, x, g: 2 * (a - x) - jnp.where(lacks, own.constant * g, 0),
        state.iterate,
        state.x,
        sight.look.grad,
    )
    direction, memory = _ADAM.update(_through(threat, own, slope), own.adam)
    hidden = jax.tree.map(lambda w, d: w - step_size * d, own.hidden, direction)
    miss = jnp.maximum(-sight.look.value, 0)
    loss = sight.distance**2 + own.constant * miss
    on = own._replace(
        hidden=hidden,
        adam=memory,
        place=own.place + 1,
        won=own.won | (sight.margin >= 0),
        loss=jnp.where(look, loss, own.loss),
    )
    return on, look & (loss > _BARELY * own.loss)


def _next_round(own: _Own, first: _Own) -> _Own:
    """The first state, with the constant that the round's end asks for."""
    high = jnp.where(own.won, jnp.minimum(own.high, own.constant), own.high)
    low = jnp.where(own.won, own.low, jnp.maximum(own.low, own.constant))
    known = high < _LARGEST
    constant = jnp.where(known, (low + high) / 2, 10 * own.constant)
    constant = jnp.minimum(constant, _LARGEST)
    return first._replace(constant=constant, low=low, high=high)


def _sides(threat: Any, x: Array) -> tuple[Array, Array]:
    """Middle and half width of the box, each [*S]."""
    lower, upper = (
        jax.tree.map(lambda leaf: jnp.broadcast_to(end, leaf.shape), x)  # noqa: B023
        for end in (threat.lower, threat.upper)
    )
    middle = jax.tree.map(lambda a, b: (a + b) / 2, lower, upper)
    return middle, jax.tree.map(lambda a, b: (b - a) / 2, lower, upper)


def _behind(threat: Any, x: Array) -> Array:
    """The variable whose tanh gives x, nearly."""
    return jax.tree.map(
        lambda a, m, h: jnp.arctanh(_INSIDE * (a - m) / jnp.where(h > 0, h, 1)),
        x,
        *_sides(threat, x),
    )


def _before(threat: Any, hidden: Array) -> Array:
    return jax.tree.map(
        lambda w, m, h: (m + h * jnp.tanh(w)).astype(w.dtype),
        hidden,
        *_sides(threat, hidden),
    )


def _through(threat: Any, own: _Own, slope: Array) -> Array:
    """The slope in the hidden variable."""
    half = _sides(threat, own.hidden)[1]
    return jax.tree.map(
        lambda s, h, w: s * h * (1 - jnp.tanh(w) ** 2), slope, half, own.hidden
    )
