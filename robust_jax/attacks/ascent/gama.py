"""GAMA: the margin of probabilities, guided away from the clean answer at first."""

from typing import cast

import jax
import jax.numpy as jnp
import optax

from robust_jax import optim
from robust_jax.attacks.gradients.estimator import Climb, Gradient
from robust_jax.attacks.skeletons import projected
from robust_jax.core import checks
from robust_jax.core.facts import attack
from robust_jax.core.types import Array, Attack, Key, Threat
from robust_jax.losses import objectives
from robust_jax.threats import Linf

_RELATIVE_STEP = 2.0  # The authors' code: steps of 16 / 255 at eps = 8 / 255.
_GUIDED_SHARE = 0.25  # Of the steps: until there the guide's weight decays to zero.
_DROP_PERCENTS = (60, 85)  # Of the steps: from there on the step size is a tenth.
_DROP = 10.0


@attack(paper="Sriramanan et al., NeurIPS 2020", norms=("linf", "l2"))
def gama_pgd(
    steps: int = 100, weight: float = 50.0, gradient: Gradient | None = None
) -> Attack:
    """Guided adversarial margin attack: far from the clean answer, then past the label.

    Climbs p_other - p_label + w_i * ||p - p_clean||^2 with the softmax p; p_other is
    the likeliest other class. w_i falls linearly from `weight` to 0 over the first
    quarter of the steps: to leave the clean answer quickly in any direction keeps the
    ascent out of poor maxima of the margin. The first step size of 2 eps, from corner
    to corner, falls to a tenth after 60 % and after 85 % of the steps. Linf starts at
    a random corner x +- eps, other norms at `threat.sample`.
    Guarantees: those of `projected_ascent`; gradients exact where softmax rounds to 1.
    Edge cases: with a target, its probability minus the label's (`Towards`) or the
    best other (`Reach`) is climbed; a lead beyond 87 nats underflows to a zero gradient
    (use the margin).

    Args:
        steps: moves, >= 1; the schedules scale with them.
        weight: of the guide at the start, > 0.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: if steps or weight are out of range.
    References: Sriramanan et al., "Guided Adversarial Attack for Evaluating and
        Enhancing Adversarial Defenses", NeurIPS 2020. Differs from the authors' code
        in: p_clean is the answer at x, as their text has it, where the code takes the
        one at the random start; the start is clipped to the box; the best iterate is
        kept rather than the last one; other norms than Linf start by `threat.sample`;
        schedules scale with the steps.

    >>> rj.attacks.gama_pgd(steps=60, weight=30.0)
    gama_pgd(steps=60, weight=30.0)
    """
    checks.positive_integer("steps", steps)
    checks.positive_number("weight", weight)

    def climb_of(state: projected.ProjectedState) -> Climb:
        clean = probabilities(cast(Array, state.clean_logits))
        guide = weight * jnp.maximum(1 - state.i / (_GUIDED_SHARE * steps), 0)

        def climb(logits: Array) -> Array:
            reached = probabilities(logits)
            moved = jnp.sum((reached - clean) ** 2)
            return objectives.margin(reached, state.goal) + guide * moved

        return climb

    return projected.ascent(
        climb_of,
        optim.steepest(_dropping(steps)),
        at_a_corner,
        steps=steps,
        gradient=gradient,
        with_clean_logits=True,
    )


def at_a_corner(key: Key, threat: Threat, x: Array) -> Array:
    """Starts from a random corner x +- eps for Linf, from `threat.sample` otherwise.

    In other norms the corners are not of size eps, and their projection would be
    near the diagonals only.
    """
    corner = projected.at_random_signs(1.0)
    start = corner if isinstance(threat, Linf) else projected.at_random
    return start(key, threat, x)


def probabilities(logits: Array) -> Array:
    """The softmax, with the likeliest class's share as one minus the others'.

    Equal to `jax.nn.softmax`, but differences of shares keep their gradient: where the
    largest share rounds to 1, softmax's own loses the part that goes through it.

    Args:
        logits: shape [K], K >= 2.
    Returns: shape [K], in float32 at least.
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    shares = jax.nn.softmax(logits)
    likeliest = jnp.arange(logits.shape[0]) == jnp.argmax(logits)
    others = jnp.sum(jnp.where(likeliest, 0, shares))
    return jnp.where(likeliest, 1 - others, shares)


def _dropping(steps: int) -> optax.Schedule:
    sizes = [_RELATIVE_STEP / _DROP**n for n in range(len(_DROP_PERCENTS) + 1)]

    def relative_step_at(move: Array) -> Array:
        drops = sum((100 * move >= p * steps for p in _DROP_PERCENTS), 0)
        return jnp.asarray(sizes)[drops]

    return relative_step_at
