"""EAD: proximal gradient steps on an elastic net of distances and the margin."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.nearest import _const_search as const_search
from robust_jax.attacks.skeletons.common import chosen
from robust_jax.attacks.skeletons.minimum_norm import (
    Evaluated,
    Keep,
    NearState,
    box_ends,
    in_box,
    minimum_norm,
)
from robust_jax.core import checks, incumbent
from robust_jax.core.facts import NEAREST, attack
from robust_jax.core.types import Array, Attack, Incumbent, Key, Threat
from robust_jax.losses import objectives


class _Own(NamedTuple):
    """What the attack remembers of one example."""

    point: Array  # [*S] after the last shrinkage; the iterate is ahead of it
    search: const_search.Search


@attack(
    paper="Chen et al., AAAI 2018",
    norms=("l1",),
    finds=NEAREST,
    short={
        "rounds": 5,
        "iterations": 99,
        "step_size": 0.001,
        "first_const": 1.0,
        "beta": 0.01,
        "abort_early": False,
    },
)
def ead(
    rounds: int = 9,
    iterations: int = 10_000,
    step_size: float = 0.01,
    first_const: float = 1e-3,
    beta: float = 1e-3,
    confidence: float = 0.0,
    abort_early: bool = True,
    rule: Literal["l1", "elastic_net"] = "l1",
    gradient: Gradient | None = None,
) -> Attack:
    """The elastic-net attack: the smallest perturbation in L1, or of an elastic net.

    FISTA minimises beta |delta|_1 + |delta|_2^2 + const * max(0, confidence - margin):
    a gradient step on all but the first term; coordinates that are then within beta of
    x go back to it, the others come nearer by beta and are clipped to the box; the
    iterate is ahead of that point by Nesterov's momentum. The step size falls to 0
    with the square root of what is left of a round; const as in `cw_l2`.
    Guarantees: every iterate is in the box, and the first is x; of all iterates the
    one kept is adversarial, within eps, and nearest by the rule; deterministic; dtype
    kept.
    Edge cases: coordinates that never left x are x to the bit. The rule decides what
    is kept, not how the search goes. eps caps what is kept, not the search. With a
    confidence, an iterate counts from that margin on; until one does, the strongest is
    kept. Non-finite logits count as success.

    Args:
        rounds: of the search for const, >= 1.
        iterations: of a round, each of 1 forward and 1 backward, >= 2.
        step_size: of the first iteration of a round, squared pixel units, > 0.
        first_const: the weight of the margin in the first round, > 0.
        beta: the weight of L1, and what a coordinate is shrunk by, pixel units, > 0.
        confidence: the margin to reach, logit units, finite and >= 0.
        abort_early: end a round when a tenth of its iterations brought no progress.
        rule: what is smallest: "l1", or "elastic_net" for beta |delta|_1 +
            |delta|_2^2.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside these ranges; when it is first run, for
        a threat other than L1.
    References: Chen et al., "EAD: Elastic-Net Attacks to Deep Neural Networks via
        Adversarial Examples", AAAI 2018, Alg. 1. Differs from the authors' code in: the
        point ahead is judged, where the gradient is taken, which saves a forward per
        iteration, and it is clipped to the box; early abort per example, not per batch,
        by the loss that includes L1; the default rule is L1.

    >>> rj.attacks.ead(rounds=4, iterations=200, beta=0.01).steps
    800
    """
    schedule = const_search.checked(rounds, iterations, first_const, abort_early)
    checks.positive_number("step_size", step_size)
    checks.positive_number("beta", beta)
    checks.non_negative_number("confidence", confidence)
    checks.known_name("rule", rule, _SIZES)

    def start(key: Key, threat: Threat, x: Array) -> tuple[Array, _Own]:
        if not isinstance(threat, threats.L1):
            name = type(threat).__name__
            raise ValueError(f"threat={name}; expected threats.L1 for ead")
        return x, _Own(x, const_search.begin(schedule))

    def move(threat: Threat, state: NearState, at: Evaluated) -> tuple[Array, _Own]:
        own, search = state.own, state.own.search
        hinge = jnp.maximum(confidence - at.value, 0)
        size = _elastic_net(beta, state.iterate, state.x)
        done = search.iteration / iterations
        length = step_size * jnp.sqrt(1 - done)
        weight = jnp.where(hinge > 0, search.const, 0)
        stepped = jax.tree.map(
            lambda y, x, g: y - length * (2 * (y - x) - weight * g),
            state.iterate,
            state.x,
            at.grad,
        )
        point = _shrunk(threat, stepped, state.x, beta)
        momentum = search.iteration / (search.iteration + 3.0)
        ahead = jax.tree.map(lambda a, b: a + momentum * (a - b), point, own.point)
        loss, won = size + search.const * hinge, at.margin >= confidence
        search, anew = const_search.advance(schedule, search, loss, won)
        ahead, point = chosen(anew, (state.x, state.x), (in_box(threat, ahead), point))
        return ahead, _Own(point, search)

    return minimum_norm(
        objectives.margin,
        start,
        move,
        steps=rounds * iterations - 1,
        gradient=gradient,
        keep=_keep_smallest(_SIZES[rule], beta, confidence),
        over=lambda own: const_search.is_over(schedule, own.search),
    )


def _shrunk(threat: Threat, y: Array, x: Array, beta: float) -> Array:
    """y, nearer to x by beta in every coordinate, in the box."""

    def shrink(y: Array, x: Array, low: Array, high: Array) -> Array:
        down, up = jnp.maximum(y + beta, low), jnp.minimum(y - beta, high)
        near = jnp.where(y < x - beta, down, x)
        return jnp.where(y > x + beta, up, near).astype(x.dtype)

    return jax.tree.map(shrink, y, x, *box_ends(threat, x))


def _l1(beta: float, x: Array, x0: Array) -> Array:
    return threats.L1(jnp.inf).distance(x, x0)


def _elastic_net(beta: float, x: Array, x0: Array) -> Array:
    return beta * _l1(beta, x, x0) + threats.L2(jnp.inf).distance(x, x0) ** 2


_SIZES = {"l1": _l1, "elastic_net": _elastic_net}


def _keep_smallest(size: Any, beta: float, confidence: float) -> Keep:
    """Keeps, of the points within eps whose margin is enough, the smallest."""

    def keep(threat: Threat, x: Array, best: Incumbent, judged: Incumbent) -> Incumbent:
        within = judged.distance <= threat.eps
        margin = jnp.where(within, judged.margin, -jnp.inf)
        old, new = (
            Incumbent(known.x, margin, size(beta, known.x, x))
            for known, margin in ((best, best.margin), (judged, margin))
        )
        kept = incumbent.closest(old, new, jnp.inf, confidence)
        distance = threat.distance(kept.x, x).astype(best.distance.dtype)
        return kept._replace(distance=distance)

    return keep
