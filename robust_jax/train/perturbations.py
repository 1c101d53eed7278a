"""Attacks that training uses and evaluation does not."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from robust_jax import optim
from robust_jax.attacks.gradients.estimator import Climb
from robust_jax.attacks.skeletons import projected
from robust_jax.core import checks
from robust_jax.core.factories import factory
from robust_jax.core.types import Array, Attack, Key, Threat
from robust_jax.losses import classification

_SIGMA = 1e-3  # The TRADES code: standard deviation of the start, pixel units.


@factory()
def near_the_input(sigma: float = _SIGMA) -> projected.Start:
    """Starts from x plus a small Gaussian, projected.

    Raises: ValueError: if sigma is not a finite number > 0.
    """
    checks.positive_number("sigma", sigma)

    def start(key: Key, threat: Threat, x: Array) -> Array:
        noise = sigma * jax.random.normal(key, x.shape, x.dtype)
        return threat.project(x + noise, x)

    return start


@factory()
def pgd_near(steps: int = 10, relative_step: float = 0.25) -> Attack:
    """PGD on the label's cross entropy from a small Gaussian start, as MART's.

    Args:
        steps: moves, >= 1.
        relative_step: step size as a multiple of eps.
    Raises: ValueError: an argument out of its range.

    >>> rj.train.perturbations.pgd_near(5)
    pgd_near(steps=5, relative_step=0.25)
    """
    checks.positive_integer("steps", steps)
    return projected.projected_ascent(
        projected.objectives.cross_entropy,
        optim.steepest(relative_step),
        near_the_input(),
        steps=steps,
    )


@factory()
def pgd_kl(steps: int = 10, relative_step: float | None = None) -> Attack:
    """PGD on KL(net at x || net at x_adv) from a small Gaussian start, as TRADES'.

    The label is not used.

    Args:
        steps: moves, >= 1.
        relative_step: step size as a multiple of eps; by default 2 / steps.
    Raises: ValueError: an argument out of its range.
    References: Zhang et al., "Theoretically principled trade-off between robustness
        and accuracy", ICML 2019, Alg. 1. Differs from the authors' code in: the start
        is feasible; in L2 the projection is onto ball and box together, and a zero
        gradient moves nothing rather than at random.

    >>> rj.train.perturbations.pgd_kl(5)
    pgd_kl(steps=5)
    """
    return _against_clean(classification.kl_divergence, steps, relative_step)


@factory()
def pgd_squared(steps: int = 10, relative_step: float | None = None) -> Attack:
    """PGD on the squared distance of the softmax to that at x, from a random start.

    Args: as of `pgd_kl`.
    Raises: ValueError: an argument out of its range.
    References: Pang et al., ICML 2022. Not compared with the authors' code.

    >>> rj.train.perturbations.pgd_squared(5)
    pgd_squared(steps=5)
    """

    def distance(clean: Array, logits: Array) -> Array:
        return classification.squared_error(logits, jax.nn.softmax(clean))

    return _against_clean(distance, steps, relative_step, projected.at_random)


def _against_clean(
    distance: Callable[[Array, Array], Array],
    steps: int,
    relative_step: float | None,
    start: projected.Start | None = None,
) -> Attack:
    checks.positive_integer("steps", steps)

    def climb_of(state: Any) -> Climb:
        return lambda logits: distance(state.clean_logits, logits)

    return projected.ascent(
        climb_of,
        optim.steepest(2 / steps if relative_step is None else relative_step),
        near_the_input() if start is None else start,
        steps=steps,
        with_clean_logits=True,
    )


@factory()
def fgsm_rs(relative_step: float = 1.25) -> Attack:
    """One step from a random point of the ball, which may leave the box.

    x_adv = x + noise + step * sign(gradient at x + noise), projected onto ball and box,
    with uniform noise in the ball. That the gradient is taken outside the box matters:
    on MNIST, where most pixels are 0, training from starts inside the box collapses.

    Args:
        relative_step: step size as a multiple of eps, > 0.
    Raises: ValueError: if relative_step is not a finite number > 0.
    References: Wong et al., "Fast is better than free: revisiting adversarial
        training", ICLR 2020, Alg. 3 (1.25). Differs from the authors' code in: other
        norms take their steepest step; as there, and unlike a PGD start, the first
        point may leave the box: on MNIST their recipe with starts in the box left 5 %
        under `swift`, as they have it 52 % (1,000 validation images).

    >>> rj.train.perturbations.fgsm_rs(1.0)
    fgsm_rs(relative_step=1.0)
    """
    return projected.projected_ascent(
        projected.objectives.cross_entropy,
        optim.steepest(relative_step),
        anywhere_in_the_ball,
        steps=1,
    )


def anywhere_in_the_ball(key: Key, threat: Threat, x: Array) -> Array:
    """A uniform point of the ball, whatever the box."""
    return threat.replace(lower=-jnp.inf, upper=jnp.inf).sample(key, x)


@factory()
def n_fgsm(relative_noise: float = 2.0) -> Attack:
    """One full step from a noisy image, without a projection onto the ball.

    x_adv = x + noise + eps * sign(gradient at x + noise), clipped to the box, with
    uniform noise of up to `relative_noise * eps`.
    Edge cases: the point leaves the threat set, up to (1 + relative_noise) * eps: fit
    for training, not for evaluation.

    Args:
        relative_noise: size of the noise as a multiple of eps, > 0.
    Raises: ValueError: if relative_noise is not a finite number > 0.
    References: de Jorge et al., "Make some noise: reliable and efficient single-step
        adversarial training", NeurIPS 2022, Alg. 1 (2 eps). Differs from the authors'
        code in: other norms take their steepest step.

    >>> rj.train.perturbations.n_fgsm()
    n_fgsm(relative_noise=2.0)
    """
    checks.positive_number("relative_noise", relative_noise)
    reach = 1 + relative_noise

    def start(key: Key, threat: Threat, x: Array) -> Array:
        return _scaled(threat, relative_noise / reach).sample(key, x)

    inner = projected.projected_ascent(
        projected.objectives.cross_entropy, optim.steepest(1 / reach), start, steps=1
    )

    def init(key, threat, x, goal, logits):
        return inner.init(key, _scaled(threat, reach), x, goal, logits)

    def step(logits_fn, threat, state):
        return inner.step(logits_fn, _scaled(threat, reach), state)

    return inner._replace(init=init, step=step, judge=None)


def _scaled(threat, factor):
    return threat.replace(eps=threat.eps * factor)
