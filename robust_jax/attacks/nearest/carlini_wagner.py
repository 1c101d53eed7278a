"""Carlini and Wagner's L2 attack: Adam on distance and margin, for several weights."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.nearest import (
    _const_search as const_search,
    _tanh_box as tanh_box,
)
from robust_jax.attacks.skeletons.common import chosen
from robust_jax.attacks.skeletons.minimum_norm import (
    Evaluated,
    Keep,
    NearState,
    minimum_norm,
)
from robust_jax.core import checks, incumbent
from robust_jax.core.facts import NEAREST, attack
from robust_jax.core.types import Array, Attack, Incumbent, Key, Threat
from robust_jax.losses import objectives


class _Own(NamedTuple):
    """What the attack remembers of one example."""

    adam: tanh_box.AdamState
    search: const_search.Search


@attack(
    paper="Carlini & Wagner, S&P 2017",
    norms=("l2",),
    finds=NEAREST,
    short={
        "rounds": 5,
        "iterations": 99,
        "step_size": 0.05,
        "first_const": 1.0,
        "abort_early": False,
        "slack": 0.1,
    },
)
def cw_l2(
    rounds: int = 9,
    iterations: int = 10_000,
    step_size: float = 0.01,
    first_const: float = 1e-3,
    confidence: float = 0.0,
    abort_early: bool = True,
    slack: float = 1e-6,
    gradient: Gradient | None = None,
) -> Attack:
    """Carlini and Wagner's attack: the smallest perturbation in L2.

    Adam minimises |delta|^2 + const * max(0, confidence - margin). A change of
    variables keeps the iterates in the box: x_adv = m + (1 + slack) h tanh(w), for the
    box's middle m and half width h. Each round starts at x, with a const of its own: a
    binary search for the least one that succeeds, after powers of ten.
    Guarantees: every iterate is in the box, and the first is x, to the bit; of all
    iterates the nearest that is adversarial and within eps is returned; deterministic;
    dtype kept.
    Edge cases: pixels on a face of the box: tanh comes so near to its limits as the
    slack lets it, 1 / (1 + slack) (the authors' 0.999999), so that w is finite and
    what goes beyond the box is clipped; the less slack, the longer such pixels take to
    leave their face. The box must be finite. eps caps what is kept, not the search.
    With a confidence, an iterate counts from that margin on; until one does, the
    strongest is kept. Non-finite logits count as success. A zero gradient, as of a
    flat model, leaves the iterate where it is.

    Args:
        rounds: of the search for const, >= 1.
        iterations: of Adam in a round, each of 1 forward and 1 backward, >= 2.
        step_size: of Adam, in the variable of tanh, > 0.
        first_const: the weight of the margin in the first round, in squared pixel
            units per logit, > 0.
        confidence: the margin to reach, logit units, finite and >= 0.
        abort_early: end a round when a tenth of its iterations brought no progress.
        slack: by how much tanh's box is wider than the threat's, relative, >= 1e-6.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside these ranges; when it is first run, for
        a threat other than L2.
    References: Carlini & Wagner, "Towards Evaluating the Robustness of Neural
        Networks", S&P 2017, Sec. V and VI. Differs from the authors' code in: early
        abort per example, not per batch; the distance is measured from x, not from x as
        tanh gives it back; tanh's box is wider than the threat's by a slack (default:
        their 0.999999) and clipped, so that faces can be reached; the loss is divided
        by 1 + const, to which Adam is blind.

    >>> rj.attacks.cw_l2(rounds=4, iterations=200).steps  # The rounds together.
    800
    """
    schedule = const_search.checked(rounds, iterations, first_const, abort_early)
    checks.positive_number("step_size", step_size)
    tanh_box.check_slack(slack)
    checks.non_negative_number("confidence", confidence)

    def start(key: Key, threat: Threat, x: Array) -> tuple[Array, _Own]:
        if not isinstance(threat, threats.L2):
            name = type(threat).__name__
            raise ValueError(f"threat={name}; expected threats.L2 for cw_l2")
        return x, _Own(tanh_box.at_start(x), const_search.begin(schedule))

    def move(threat: Threat, state: NearState, at: Evaluated) -> tuple[Array, _Own]:
        own, const = state.own, state.own.search.const
        hinge = jnp.maximum(confidence - at.value, 0)
        loss = (at.distance**2 + const * hinge) / (1 + const)
        away = jax.tree.map(jnp.subtract, state.iterate, state.x)
        weight = jnp.where(hinge > 0, const, 0)
        slope = jax.tree.map(
            lambda a, g: (2 * a - weight * g) / (1 + const), away, at.grad
        )
        adam = tanh_box.stepped(threat, state.x, own.adam, slope, step_size, slack)
        won = at.margin >= confidence
        search, anew = const_search.advance(schedule, own.search, loss, won)
        adam = chosen(anew, tanh_box.at_start(state.x), adam)
        iterate = tanh_box.inside(threat, state.x, adam.shift, slack)
        return iterate, _Own(adam, search)

    return minimum_norm(
        objectives.margin,
        start,
        move,
        steps=rounds * iterations - 1,
        gradient=gradient,
        keep=keep_confident(confidence),
        over=lambda own: const_search.is_over(schedule, own.search),
    )


def keep_confident(confidence: float) -> Keep:
    """Keeps the nearest point whose margin is the confidence at least."""

    def keep(threat: Threat, x: Array, best: Incumbent, judged: Incumbent) -> Incumbent:
        return incumbent.closest(best, judged, threat.eps, confidence)

    return keep
