"""The attacks that the checks compare a plan with, weakest first, by norm.

All climb the margin: it keeps its slope where cross entropy has gone flat. Radii and
seeds are data, so that the checks share these few programs.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from robust_jax import attacks, optim
from robust_jax.attacks.skeletons.common import chosen
from robust_jax.attacks.skeletons.projected import at_random, projected_ascent
from robust_jax.core.factories import factory
from robust_jax.core.types import Array, Attack, AttackResult, Key, Threat
from robust_jax.evaluate.audit.chance import at_most
from robust_jax.evaluate.audit.finding import Measured
from robust_jax.evaluate.audit.subject import Bench
from robust_jax.losses import objectives

# Share of the points that may fall to an attack that is weaker, or has no gradients,
# after the plan: 0.2 points.
GAIN = 0.002
STEPS = 10  # Of the short attack; the long one has ten times as many.
RESTARTS = 10  # Of the short attack, where restarts are looked at.
_RELATIVE_STEP = 0.25  # Ten steps reach across the ball from any start.


def single(norm: str) -> Attack:
    """One step from the input."""
    if norm in ("l1", "l0"):
        return attacks.fgsm(objectives.margin)
    if norm == "patch":
        return attacks.bim(1, 1.0, objectives.margin)
    return _climb(1, 1.0, 0)


def short(norm: str) -> Attack:
    """A few steps from a random start; of a patch from x."""
    if norm == "l1":
        return attacks.slide(
            STEPS, _RELATIVE_STEP, objective=objectives.margin, start=at_random
        )
    if norm == "l0":
        return attacks.pgd_l0(STEPS, objective=objectives.margin)
    if norm == "patch":
        return _patch(STEPS)
    return _climb(STEPS, _RELATIVE_STEP, 1)


def long(norm: str) -> Attack:
    """Ten times as many steps, whose size adapts where the norm has such an attack."""
    if norm == "l1":
        return attacks.apgd_l1(objectives.margin, 10 * STEPS)
    if norm == "l0":
        return attacks.pgd_l0(10 * STEPS, objective=objectives.margin)
    if norm == "patch":
        return _patch(10 * STEPS)
    return attacks.apgd(objectives.margin, 10 * STEPS)


@factory()
def _climb(steps: int, relative_step: float, from_random: int) -> Attack:
    """PGD; FGSM where the start is not at random. One program, as all are numbers."""

    def start(key: Key, threat: Threat, x: Array) -> Array:
        return chosen(jnp.asarray(from_random) > 0, threat.sample(key, x), x)

    rule = optim.steepest(relative_step)
    return projected_ascent(objectives.margin, rule, start, steps=steps)


def _patch(steps: int) -> Attack:
    """From x, whose gradient says where a patch pays; a random place seldom does."""
    return attacks.bim(steps, _RELATIVE_STEP, objectives.margin)


def broke(result: AttackResult) -> np.ndarray:
    """[M] bool, which points a run found adversarial."""
    return np.asarray(result.margin) >= 0


def any_broke(runs: Sequence[AttackResult]) -> np.ndarray:
    """[M] bool, which points one of some runs found adversarial."""
    return np.asarray(np.any([broke(run) for run in runs], axis=0))


def gain(bench: Bench, broken: np.ndarray) -> int:
    """How many of the points that the plan left are among broken ones, [M] bool."""
    return int((broken & bench.robust).sum())


def beyond_the_plan(
    bench: Bench, broken: np.ndarray, share: float, what: str
) -> Measured:
    """Whether something breaks no more than a share of the points after the plan."""
    count, n = gain(bench, broken), len(bench)
    says = f"{what} breaks {count} of {n} points that the plan left."
    return at_most(share, count, n, says)


def restarts(bench: Bench, count: int = RESTARTS) -> list[AttackResult]:
    """The short attack from so many random starts."""
    attack = short(bench.threat.name)
    return [bench.attack(attack, restart=restart) for restart in range(count)]


def longest(bench: Bench) -> AttackResult:
    """The long attack from one random start."""
    return bench.attack(long(bench.threat.name))


def radius_of(threat: Threat) -> float:
    """The threat's radius; the largest one, where examples have their own."""
    return float(np.max(np.asarray(threat.eps)))


def whole_box(threat: Threat, shape: tuple[int, ...]) -> float:
    """A radius, in the threat's norm, that reaches every point of the box.

    Args:
        threat: with bounds that are scalars, or of the shape of one example or more.
        shape: of one example.
    Returns: inf for a box without bounds.
    """
    bounds = (np.asarray(b, np.float64) for b in (threat.lower, threat.upper))
    lower, upper = bounds
    width = np.broadcast_to(upper - lower, np.broadcast_shapes(np.shape(upper), shape))
    width = width.reshape(-1, int(np.prod(shape))).max(axis=0)
    width = width.reshape(1, *shape)
    narrow = (getattr(threat, name, None) for name in ("mask", "scale"))
    fields = [np.asarray(field) for field in narrow if field is not None]
    if not fields:
        return float(threat.measured(width)[0])
    count = max((len(f) for f in fields if f.ndim > len(shape)), default=1)
    return threat.largest(np.broadcast_to(width, (count, *shape)))[0]
