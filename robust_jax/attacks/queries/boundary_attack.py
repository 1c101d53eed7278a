"""The Boundary Attack: a random walk along the boundary, by rejection."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.attacks.skeletons.common import chosen
from robust_jax.attacks.skeletons.decision import (
    Bracket,
    Decision,
    between,
    decision_based,
    unit_bracket,
)
from robust_jax.attacks.skeletons.minimum_norm import in_box
from robust_jax.attacks.skeletons.normal_estimates import gaussian, unit
from robust_jax.core import checks
from robust_jax.core.facts import LABELS, NEAREST, attack
from robust_jax.core.types import Array, Attack, Threat

_BISECT, _SPHERE, _STEP = range(3)
_HALVINGS = 10  # Of the way from the start to x.
_EVERY = 10  # Steps between two questions on the sphere; foolbox and the authors' code.
_SPHERE_WINDOW, _STEP_WINDOW = 100, 30  # Answers that adapt the sizes, likewise.


class Rate(NamedTuple):
    """How often the answer was yes since a size was adapted."""

    wins: Array  # [] int32
    asked: Array  # [] int32

    def after(self, adversarial: Array) -> "Rate":
        return Rate(self.wins + adversarial, self.asked + 1)

    def verdict(self, window: int, low: float, high: float) -> tuple[Array, Array]:
        """Whether the share, over a whole window, is below `low`; above `high`."""
        share = self.wins / jnp.maximum(self.asked, 1)
        full = self.asked >= window
        return full & (share < low), full & (share > high)


class BoundaryState(NamedTuple):
    """What the Boundary Attack remembers of one example."""

    phase: Array  # [] int32
    point: Array  # [*S] adversarial
    bracket: Bracket  # shares of the way from x to the start
    sphere_step: Array  # [] relative to the distance
    source_step: Array  # [] likewise
    on_sphere: Rate
    towards: Rate
    steps: Array  # [] int32, steps tried


@attack(
    paper="Brendel et al., ICLR 2018",
    norms=("l2",),
    finds=NEAREST,
    sees=LABELS,
    per_step=(1, 0),
    short={"queries": 999},
)
def boundary_attack(
    queries: int = 25_000,
    sphere_step: float = 0.01,
    source_step: float = 0.01,
    adaptation: float = 1.5,
) -> Attack:
    """Decision-based, L2: steps sideways at equal distance, then towards x.

    From an adversarial point at distance r a Gaussian step of length `sphere_step * r`
    across the line to x, back onto the sphere around x, is followed by one of
    `source_step * r` towards x; the walk moves if the end is adversarial. Both sizes
    follow the shares of yes: every tenth step asks about the point on the sphere too,
    and both grow if more than half of those are adversarial, shrink below a fifth; the
    step towards x grows above a quarter, and shrinks below a tenth.
    Guarantees: see `decision.decision_based`.
    Edge cases: steps that rounding swallows leave the point where it is.

    Args:
        queries: evaluations besides that of the clean input, >= 2.
        sphere_step, source_step: first sizes, relative to the distance, > 0.
        adaptation: factor of a size's growth, > 1.
    Raises: ValueError: arguments outside these ranges; while tracing, another norm.
    References: Brendel et al., "Decision-Based Adversarial Attacks: Reliable Attacks
        Against Black-Box Machine Learning Models", ICLR 2018, Sec. 2. Differs from the
        authors' code in: a start is bisected towards x first; sizes follow shares of 10
        and 30 answers since the last change, theirs the last 100 and 30; the attack
        does not end when steps are small.

    >>> attack = rj.attacks.boundary_attack(queries=1000)
    >>> attack.steps, rj.attacks.by_name("boundary_attack").sees
    (1000, 'labels')
    """
    checks.positive_number("sphere_step", sphere_step)
    checks.positive_number("source_step", source_step)
    checks.holds("adaptation", adaptation, lambda v: v > 1, "a number > 1")

    def first(threat: Threat, decision: Decision) -> BoundaryState:
        checks.threat("boundary_attack", threat, "l2")
        zero, bracket = jnp.zeros((), jnp.int32), unit_bracket(decision.x)
        return BoundaryState(
            phase=zero + _BISECT,
            point=decision.asked,
            bracket=bracket,
            sphere_step=jnp.full_like(bracket.low, sphere_step),
            source_step=jnp.full_like(bracket.low, source_step),
            on_sphere=Rate(zero, zero),
            towards=Rate(zero, zero),
            steps=zero,
        )

    def learn(threat: Threat, own: BoundaryState, decision: Decision) -> BoundaryState:
        asked_whole = own.phase == _STEP
        started = _bisected(own, decision)
        on_sphere = own._replace(on_sphere=own.on_sphere.after(decision.adversarial))
        stepped = own._replace(
            point=jnp.where(decision.adversarial, decision.asked, own.point),
            towards=own.towards.after(decision.adversarial),
            steps=own.steps + 1,
        )
        walked = chosen(asked_whole, stepped, on_sphere)
        walked = _adapted(walked, adaptation)
        due = asked_whole & (walked.steps % _EVERY == 0)
        walked = walked._replace(phase=jnp.where(due, _SPHERE, _STEP))
        return chosen(own.phase == _BISECT, started, walked)

    return decision_based(first, learn, _ask, queries=queries)


def _bisected(own: BoundaryState, decision: Decision) -> BoundaryState:
    """After a question on the way from the start to x."""
    bracket = own.bracket.halved(decision.adversarial)
    narrow = bracket.high - bracket.low <= 2.0**-_HALVINGS
    # `point` stays the start's until the end: shares are of the way to it.
    end = decision.x + bracket.high * (own.point - decision.x)
    return own._replace(
        bracket=bracket,
        point=jnp.where(narrow, end.astype(own.point.dtype), own.point),
        phase=jnp.where(narrow, _SPHERE, _BISECT),
    )


def _adapted(own: BoundaryState, factor: float) -> BoundaryState:
    """With the sizes that the shares of yes ask for; a full window begins anew."""
    few, many = own.on_sphere.verdict(_SPHERE_WINDOW // _EVERY, 0.2, 0.5)
    both = jnp.where(many, factor, jnp.where(few, 1 / factor, 1.0))
    fewer, more = own.towards.verdict(_STEP_WINDOW, 0.1, 0.25)
    one = jnp.where(more, factor, jnp.where(fewer, 1 / factor, 1.0))
    return own._replace(
        sphere_step=own.sphere_step * both,
        source_step=own.source_step * both * one,
        on_sphere=_anew(few | many, own.on_sphere),
        towards=_anew(fewer | more, own.towards),
    )


def _anew(changed: Array, rate: Rate) -> Rate:
    return jax.tree.map(lambda a: jnp.where(changed, 0, a), rate)


def _ask(noise: Array, threat: Threat, own: BoundaryState, x: Array) -> Array:
    """The middle of the bracket, the point on the sphere, or the whole step."""
    half = between(threat, x, own.point, own.bracket.middle)
    offset = own.point - x
    distance = threat.distance(own.point, x)
    radial, noise = unit(offset), gaussian(noise)
    across = unit(noise - jnp.sum(noise * radial) * radial)
    turned = unit(radial + own.sphere_step * across)
    sphere = in_box(threat, (x + distance * turned).astype(x.dtype))
    # The box may have moved the point: the way that is left is measured anew.
    left = jnp.maximum(threat.distance(sphere, x), jnp.finfo(x.dtype).tiny)
    goal = jnp.minimum(1 - own.source_step, left / distance) * distance
    whole = x + jnp.maximum(goal, 0) / left * (sphere - x)
    walk = jnp.where(own.phase == _SPHERE, sphere, whole.astype(x.dtype))
    return jnp.where(own.phase == _BISECT, half, walk)
