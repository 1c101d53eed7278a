"""Training against several threats at once: the worst of them, example by example."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from robust_jax.core import checks
from robust_jax.core.types import Attack
from robust_jax.losses import classification
from robust_jax.models import BatchMode
from robust_jax.train import helpers
from robust_jax.train.helpers import ThreatFn
from robust_jax.train.objectives import moved, standard
from robust_jax.train.state import ApplyFn, Objective


def worst_of(
    apply_fn: ApplyFn,
    pairs: Sequence[tuple[Attack, ThreatFn]],
    *,
    attack_mode: BatchMode = "eval",
    mode: BatchMode = "batch+update",
) -> Objective:
    """Mean cross entropy on, for each example, its worst adversarial image (MAX).

    Every attack runs; the image with the largest cross entropy under `attack_mode` is
    kept, the first one if they tie.
    Guarantees: all attacks get the same key; of one pair it is `adversarial`.

    Args:
        apply_fn: the net.
        pairs: attacks whose states have an `iterate`, each with its threat.
        attack_mode: the net's batch mode under attack and in the choice.
        mode: the net's batch mode in the loss.
    Raises: ValueError: without pairs.
    References: Tramer & Boneh, "Adversarial training and robustness for multiple
        perturbations", NeurIPS 2019, Eq. 3. Differs from the authors' code in: the
        batch mode of the choice is an argument.

    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> linf = rj.train.Ball("linf", 0.1).threat_fn()
    >>> l2 = rj.train.Ball("l2", 1.0).threat_fn()
    >>> objective = rj.train.worst_of(
    ...     apply_fn, [(rj.attacks.pgd(10), each) for each in (linf, l2)]
    ... )
    """
    if not pairs:
        raise ValueError("pairs=(); expected at least one")
    perturbs = [helpers.perturber(apply_fn, *pair, attack_mode) for pair in pairs]

    def perturb(frozen, batch, key, step):
        points = [each(frozen, batch, key, step) for each in perturbs]
        worst = jnp.stack(
            [_losses(apply_fn, frozen, batch, x, attack_mode) for x in points]
        )
        choice = jnp.argmax(worst, axis=0)
        return _picked(jnp.stack(points), choice)

    return moved(helpers.once(perturb), standard(apply_fn, mode=mode))


def multi_steepest_descent(
    apply_fn: ApplyFn,
    threats: Sequence[tuple[float, ThreatFn]],
    steps: int = 50,
    *,
    attack_mode: BatchMode = "eval",
    mode: BatchMode = "batch+update",
) -> Objective:
    """Mean cross entropy after steps that each take the worst of all threats (MSD).

    From the clean image; each step tries, for every threat, its steepest step and
    projection, and keeps for each example the point of the largest cross entropy.

    Args:
        apply_fn: the net.
        threats: relative step (of eps) and threat_fn of each.
        steps: moves, >= 1.
        attack_mode: the net's batch mode under attack.
        mode: the net's batch mode in the loss.
    Raises: ValueError: an argument out of its range.
    References: Maini et al., "Adversarial robustness against the union of multiple
        perturbation models", ICML 2020, Alg. 1. Differs from the authors' code in: L1
        steps move one coordinate, not 5 to 20; projections respect the box.

    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> linf = rj.train.Ball("linf", 0.1).threat_fn()
    >>> l2 = rj.train.Ball("l2", 1.0).threat_fn()
    >>> objective = rj.train.multi_steepest_descent(
    ...     apply_fn, [(0.1, linf), (0.1, l2)], steps=20
    ... )
    """
    if not threats:
        raise ValueError("threats=(); expected at least one")
    checks.positive_integer("steps", steps)
    for relative_step, _ in threats:
        checks.positive_number("relative_step", relative_step)

    def perturb(frozen, batch, key, step):
        balls = [(size, threat_fn(step)) for size, threat_fn in threats]

        def losses(x):
            return _losses(apply_fn, frozen, batch, x, attack_mode)

        def move(_, x):
            grad = jax.grad(lambda x: jnp.sum(losses(x)))(x)
            grad = jnp.where(jnp.isfinite(grad), grad, 0)

            def ahead(size, threat):
                def one(x, g, x0):
                    return threat.project(x + size * threat.steepest(g, x), x0)

                return jax.vmap(one)(x, grad, batch.images)

            points = [ahead(*ball) for ball in balls]
            worst = jnp.stack([losses(point) for point in points])
            return _picked(jnp.stack(points), jnp.argmax(worst, axis=0))

        return jax.lax.fori_loop(0, steps, move, batch.images)

    return moved(helpers.once(perturb), standard(apply_fn, mode=mode))


def _losses(apply_fn, variables, batch, images, mode):
    logits, _ = apply_fn(variables, images, mode)
    return jax.vmap(classification.cross_entropy)(logits, batch.labels)


def _picked(points, choice):
    """Of points [N, B, *S] those chosen, [B, *S]."""
    index = choice.reshape(1, -1, *[1] * (points.ndim - 2))
    return jnp.take_along_axis(points, index, axis=0)[0]
