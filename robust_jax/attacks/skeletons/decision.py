"""What decision-based attacks share: a start, one question a call, a yes or no.

Such an attack sees labels alone. It asks whether a point is adversarial, learns from
the answer, and asks the next question; the nearest adversarial point asked about is
kept, as in all minimum-norm attacks.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.attacks.gradients.estimator import without
from robust_jax.attacks.skeletons.common import chosen
from robust_jax.attacks.skeletons.minimum_norm import (
    Evaluated,
    NearState,
    box_ends,
    in_box,
    minimum_norm,
)
from robust_jax.core import checks
from robust_jax.core.types import Array, Attack, Key, Threat
from robust_jax.losses import objectives

_TRIES = 100  # Noise images before an example is given up, as in the attacks' codes.


class Decision(NamedTuple):
    """What one query said."""

    asked: Array  # [*S] the point
    adversarial: Array  # [] bool
    x: Array  # [*S] the clean input


First = Callable[[Any, Decision], Any]  # (threat, answer) -> own; the answer was yes
Learn = Callable[[Any, Any, Decision], Any]  # (threat, own, answer) -> own
Ask = Callable[[Array, Any, Any, Array], Array]  # (noise, threat, own, x) -> [*S]


class DecisionState(NamedTuple):
    """What a decision-based attack remembers."""

    started: Array  # [] bool: an adversarial point is known
    tries: Array  # [] int32, of starts that failed
    own: Any  # what the attack itself remembers


def decision_based(first: First, learn: Learn, ask: Ask, *, queries: int) -> Attack:
    """An attack that is told yes or no, one query a call.

    The first query is the start: uniform noise in the box, or the image that the driver
    is given (`drive.hosted(attack)(..., start=images)`; see `attacks.exemplars`). While
    it is not adversarial, another noise image is asked about; after 100 the attack ends
    for this example alone.
    Guarantees: of all adversarial points asked about within eps the nearest is
        returned; only the sign of the margin is used, so that a model of one-hot labels
        is attacked as one of logits; deterministic in key; dtype kept.
    Edge cases: where the box is wider than 1 on a side, noise starts within 1 of x and
        twice as far with every try; eps caps what is kept, not where the search goes.

    Args:
        first: what the attack remembers when a start succeeds.
        learn: ... after an answer.
        ask: the next question, which is clipped to the box; its noise is uniform in
            (-1, 1), shape [*S], new for every question.
        queries: evaluations besides that of the clean input, >= 2.
    Raises: ValueError: queries < 2; while tracing, if x is not one array.
    """
    checks.positive_integer("queries", queries)
    checks.holds("queries", queries, lambda v: v >= 2, "an integer >= 2")

    def start(key: Key, threat: Threat, x: Array) -> tuple[Array, DecisionState]:
        _check_input(x)
        zero = jnp.zeros((), jnp.int32)
        own = first(threat, Decision(x, jnp.zeros((), bool), x))
        point = _start(_draw(key, x), threat, x, zero)
        return point, DecisionState(jnp.zeros((), bool), zero, own)

    def move(
        threat: Threat, state: NearState, at: Evaluated
    ) -> tuple[Array, DecisionState]:
        search = state.own
        decision = Decision(state.iterate, at.margin >= 0, state.x)
        begun = chosen(decision.adversarial, first(threat, decision), search.own)
        own = chosen(search.started, learn(threat, search.own, decision), begun)
        started = search.started | decision.adversarial
        tries = search.tries + ~started
        noise = _draw(jax.random.fold_in(state.key, state.i), state.x)
        question = ask(noise, threat, own, state.x).astype(state.x.dtype)
        other = _start(noise, threat, state.x, tries)
        ahead = chosen(started, question, other)
        return ahead, DecisionState(started, tries, own)

    return minimum_norm(
        objectives.margin,
        start,
        move,
        steps=queries - 1,
        gradient=without(),
        over=lambda search: search.tries >= _TRIES,
    )


def _check_input(x: Any) -> None:
    if not isinstance(x, jax.Array):
        raise ValueError(
            f"x={type(x).__name__}; expected one array for a decision-based attack; "
            "join the leaves of a pytree into one"
        )


def _draw(key: Key, x: Array) -> Array:
    """Uniform in (-1, 1), [*S]; minus one is left out, for it has no normal number."""
    least = jnp.nextafter(jnp.array(-1, x.dtype), jnp.array(0, x.dtype))
    # The same numbers as of shape [*S], by code that compiles faster.
    return jax.random.uniform(key, (x.size,), x.dtype, least, 1).reshape(x.shape)


def _start(noise: Array, threat: Threat, x: Array, tries: Array) -> Array:
    """Uniform in the box, within 2**tries of x."""
    low, high = box_ends(threat, x)
    reach = jnp.float32(2.0) ** jnp.minimum(tries, 60)
    low, high = jnp.maximum(low, x - reach), jnp.minimum(high, x + reach)
    return low + (high - low) * (noise + 1) / 2


class Bracket(NamedTuple):
    """A bisection: adversarial at `high`, not at `low`, as far as is known."""

    low: Array  # []
    high: Array  # []

    @property
    def middle(self) -> Array:
        return (self.low + self.high) / 2

    def halved(self, adversarial: Array) -> "Bracket":
        """After the answer at the middle."""
        return Bracket(
            jnp.where(adversarial, self.low, self.middle),
            jnp.where(adversarial, self.middle, self.high),
        )


def unit_bracket(x: Array) -> Bracket:
    """From 0 to 1, in float32 at least."""
    zero = jnp.zeros((), jnp.promote_types(x.dtype, jnp.float32))
    return Bracket(zero, zero + 1)


def between(threat: Threat, x: Array, far: Array, share: Array) -> Array:
    """The point between x and far, at most `share` of their distance from x.

    In Linf the point of that ball which is nearest to far, else on the straight line.
    """
    if threat.name == "linf":
        reach = share * threat.distance(far, x)
        return jnp.clip(far, x - reach, x + reach).astype(x.dtype)
    return in_box(threat, (x + share * (far - x)).astype(x.dtype))
