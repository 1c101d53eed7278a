"""Step rules of one-gradient attacks, as optax chains.

A rule is a function of the threat that returns an `optax.GradientTransformation`.
Optax descends: the gradients that come in are those of minus the objective, the
updates that go out are added to the iterate. `params` is the iterate, so that a step
may respect the box.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from robust_jax.core import checks
from robust_jax.core.factories import factory
from robust_jax.core.types import Array, Threat

Rule = Callable[[Threat], optax.GradientTransformation]


@factory()
def steepest(relative_step: float | optax.Schedule) -> Rule:
    """Steps of `relative_step * eps` along the threat's steepest direction.

    Sign steps for Linf, normalised gradients for L2, the best coordinate for L1, the
    best coordinates to the faces of the box for L0.

    Args:
        relative_step: step size as a multiple of eps (L0: of the box), > 0; or an
            optax schedule of it, a function of the number of steps made.
    Raises: ValueError: if relative_step is neither a schedule nor a finite number > 0.

    >>> rule = rj.optim.steepest(0.5)(rj.threats.Linf(0.1))
    >>> x = jnp.full(2, 0.5)
    >>> rule.update(jnp.array([1.0, -3.0]), rule.init(x), x)[0]
    Array([-0.05, 0.05], dtype=float32)
    """
    if callable(relative_step):
        return _scheduled(relative_step)
    checks.positive_number("relative_step", relative_step)

    def rule(threat: Threat) -> optax.GradientTransformation:
        return optax.stateless(lambda grad, x: _climb(threat, relative_step, grad, x))

    return rule


@factory()
def momentum(relative_step: float, decay: float = 1.0) -> Rule:
    """Steepest steps along an accumulated direction of L1-normalised gradients.

    m <- decay * m + grad / ||grad||_1; the step is the steepest one for m.

    Args:
        relative_step: step size as a multiple of eps, > 0.
        decay: weight of the past, >= 0.
    References: Dong et al., "Boosting Adversarial Attacks with Momentum", CVPR 2018,
        Alg. 1. Differs in: nothing for Linf; other norms take their steepest step.

    >>> rule = rj.optim.momentum(0.5)(rj.threats.Linf(0.1))
    >>> x = jnp.full(2, 0.5)
    >>> rule.update(jnp.array([1.0, -3.0]), rule.init(x), x)[0]
    Array([-0.05, 0.05], dtype=float32)
    """
    checks.non_negative_number("decay", decay)
    return _accumulated(relative_step, optax.trace(decay))


@factory()
def nesterov(relative_step: float, decay: float = 1.0) -> Rule:
    """As `momentum`, with Nesterov's correction: the step is for grad + decay * m.

    References: Nesterov's accelerated gradient in the form of Sutskever et al., ICML
        2013. Differs from NI-FGSM (Lin et al., ICLR 2020) in: no second evaluation
        point; the look-ahead is folded into the accumulated direction.

    >>> rule = rj.optim.nesterov(0.5)(rj.threats.Linf(0.1))
    >>> x = jnp.full(2, 0.5)
    >>> rule.update(jnp.array([1.0, -3.0]), rule.init(x), x)[0]
    Array([-0.05, 0.05], dtype=float32)
    """
    checks.non_negative_number("decay", decay)
    return _accumulated(relative_step, optax.trace(decay, nesterov=True))


@factory()
def adam(relative_step: float, b1: float = 0.9, b2: float = 0.999) -> Rule:
    """Adam's direction at the Euclidean length of the steepest step.

    For Linf, where Adam's coordinates are near one, that is Adam with learning rate
    `relative_step * eps`.

    Args:
        relative_step: step size as a multiple of eps, > 0.
        b1, b2: Adam's decay rates, in [0, 1).
    References: Kingma & Ba, ICLR 2015; as an attack, Uesato et al., ICML 2018. Differs
        from the latter in: Adam's direction has the Euclidean length of the steepest
        step, so that every norm has one.

    >>> rule = rj.optim.adam(0.5)(rj.threats.L2(0.1))
    >>> x = jnp.full(2, 0.5)
    >>> rule.update(jnp.array([1.0, -3.0]), rule.init(x), x)[0]
    Array([-0.035, 0.035], dtype=float32)
    """
    checks.positive_number("relative_step", relative_step)

    def rule(threat: Threat) -> optax.GradientTransformation:
        def scale(direction, x):
            step = _climb(threat, relative_step, direction, x)
            length = optax.tree.norm(step) / jnp.maximum(
                optax.tree.norm(direction), jnp.finfo(jnp.float32).tiny
            )
            return jax.tree.map(
                lambda d, leaf: (-length * d).astype(leaf.dtype), direction, x
            )

        return optax.chain(_scale_free_adam(b1, b2), optax.stateless(scale))

    return rule


def _scheduled(schedule: optax.Schedule) -> Rule:
    def rule(threat: Threat) -> optax.GradientTransformation:
        return optax.chain(
            optax.stateless(lambda grad, x: _climb(threat, 1.0, grad, x)),
            optax.scale_by_schedule(schedule),
        )

    return rule


def _scale_free_adam(b1: float, b2: float) -> optax.GradientTransformation:
    """Adam's direction, with moments in units of the largest gradient entry so far.

    Squares of gradients leave float32 below 1e-22, where a net is sure of its answer,
    and above 1e19. Adam's stabiliser becomes 1e-8 of that largest entry, which float16
    cannot hold, so that work is done in float32 at least.
    """
    adam = optax.scale_by_adam(b1, b2)

    def init(x):
        x = _at_least_float32(x)
        return jnp.zeros_like(optax.tree.max(x)), adam.init(x)

    def update(grad, state, x=None):
        grad, (unit, moments) = _at_least_float32(grad), state
        largest = jnp.maximum(unit, optax.tree.max(jax.tree.map(jnp.abs, grad)))
        new_unit = jnp.maximum(largest, jnp.finfo(largest.dtype).tiny)
        moments = moments._replace(
            mu=jax.tree.map(lambda m: m * (unit / new_unit), moments.mu),
            nu=jax.tree.map(lambda n: n * (unit / new_unit) ** 2, moments.nu),
        )
        grad = jax.tree.map(lambda g: g / new_unit, grad)
        direction, moments = adam.update(grad, moments)
        return direction, (largest, moments)

    return optax.GradientTransformation(init, update)


def _accumulated(
    relative_step: float, accumulate: optax.GradientTransformation
) -> Rule:
    checks.positive_number("relative_step", relative_step)

    def rule(threat: Threat) -> optax.GradientTransformation:
        return optax.chain(
            optax.stateless(lambda grad, _: l1_unit(grad)),
            accumulate,
            optax.stateless(lambda d, x: _climb(threat, relative_step, d, x)),
        )

    return rule


def _climb(threat, relative_step, descent, x):
    """The steepest displacement for minus a descent direction, scaled."""
    step = threat.steepest(jax.tree.map(jnp.negative, descent), x)
    return jax.tree.map(lambda d: relative_step * d, step)


def l1_unit(grad: Array) -> Array:
    """The gradient at L1 length one, zero if it is zero; any pytree, any scale.

    >>> rj.optim.rules.l1_unit(jnp.array([1.0, -3.0]))
    Array([0.25, -0.75], dtype=float32)
    """
    # Divide by the largest entry first: the sum of tiny gradients would underflow.
    largest = optax.tree.max(jax.tree.map(jnp.abs, grad))
    tiny = jnp.finfo(largest.dtype).tiny  # float32's would make a bfloat16 a float32.
    largest = jnp.maximum(largest, tiny)
    grad = jax.tree.map(lambda g: g / largest, grad)
    total = jnp.maximum(optax.tree.sum(jax.tree.map(jnp.abs, grad)), tiny)
    return jax.tree.map(lambda g: g / total, grad)


def _at_least_float32(tree):
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)), tree
    )
