"""Objectives with a further term: aligned gradients, smoothness, helpers, two views."""

import jax
import jax.numpy as jnp

from robust_jax.core import checks
from robust_jax.core.types import Array, Attack, LogitsFn
from robust_jax.losses import classification
from robust_jax.models import BatchMode
from robust_jax.threats import Linf
from robust_jax.train import helpers
from robust_jax.train.augment import Augment
from robust_jax.train.helpers import ThreatFn
from robust_jax.train.objectives import adversarial
from robust_jax.train.state import ApplyFn, Aux, Objective

_TINY = 1e-12  # Keeps the direction of a zero gradient finite; its square root is used.


def grad_align(
    apply_fn: ApplyFn,
    attack: Attack,
    threat_fn: ThreatFn,
    weight: float = 0.2,
    *,
    attack_mode: BatchMode = "eval",
    mode: BatchMode = "batch+update",
) -> Objective:
    """Adversarial cross entropy, and input gradients that agree around the image.

    Adds weight * (1 - mean cosine of the gradients at x and at x + noise), with uniform
    noise of the threat's eps, not clipped to the box. Only the second gradient is
    differentiated, as in the authors' code.
    Edge cases: examples with a zero gradient count neither in sum nor number.

    Args:
        apply_fn: the net, twice differentiable.
        attack: the authors' is `attacks.fgsm()`.
        threat_fn: training step -> threat of norm Linf.
        weight: of the misalignment, > 0.
        attack_mode: the net's batch mode under attack and in both gradients.
        mode: the net's batch mode in the cross entropy.
    Raises: ValueError: an argument out of its range.
    References: Andriushchenko & Flammarion, "Understanding and improving fast
        adversarial training", NeurIPS 2020, Eq. 5. Differs from the authors' code in:
        the batch mode of the gradients is an argument, and they leave no statistics.

    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> threat_fn = rj.train.Ball("linf", 0.1).threat_fn()
    >>> objective = rj.train.grad_align(
    ...     apply_fn, rj.attacks.fgsm(), threat_fn, weight=0.2
    ... )
    """
    checks.positive_number("weight", weight)
    base = adversarial(apply_fn, attack, threat_fn, attack_mode=attack_mode, mode=mode)

    def objective(variables, batch, key, step):
        def summed(x):
            logits, _ = apply_fn(variables, x, attack_mode)
            return jnp.sum(jax.vmap(classification.cross_entropy)(logits, batch.labels))

        wide = Linf(jnp.asarray(threat_fn(step).eps), -jnp.inf, jnp.inf)
        keys = helpers.example_keys(helpers.second_key(key), batch)
        noisy = jax.vmap(wide.sample)(keys, batch.images)
        here = jax.lax.stop_gradient(jax.grad(summed)(batch.images))
        cosine = _mean_cosine(here, jax.grad(summed)(noisy))
        loss, aux = base(variables, batch, key, step)
        metrics = {**aux.metrics, "cosine": cosine}
        return loss + weight * (1 - cosine), aux._replace(metrics=metrics)

    return objective


def vat(
    apply_fn: ApplyFn,
    eps: float,
    weight: float = 1.0,
    *,
    power_steps: int = 1,
    probe: float = 1e-2,
    attack_mode: BatchMode = "eval",
    mode: BatchMode = "batch+update",
) -> Objective:
    """Clean cross entropy, and KL to the net's own answer in its most sensitive way.

    The direction is the divergence's leading one, by power iteration from a random
    direction: d <- unit of the gradient of KL(p(x) || p(x + probe * d)); then the image
    is moved by eps * d. No gradient flows through p(x) or d. No label is needed.
    Edge cases: a zero gradient leaves the image where it is; the box is not respected.

    Args:
        apply_fn: the net.
        eps: length of the move, Euclidean, pixel units, > 0.
        weight: of the divergence, > 0.
        power_steps: gradients, >= 1.
        probe: length of the small move, > 0.
        attack_mode: the net's batch mode while the direction is sought.
        mode: the net's batch mode in the loss.
    Raises: ValueError: an argument out of its range.
    References: Miyato et al., "Virtual adversarial training", TPAMI 2018, Alg. 1.
        Differs from the authors' code in: probe, 1e-6 there, which float32 rounds away.

    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> objective = rj.train.vat(apply_fn, eps=0.5, weight=1.0)
    """
    for name, value in (("eps", eps), ("weight", weight), ("probe", probe)):
        checks.positive_number(name, value)
    checks.positive_integer("power_steps", power_steps)
    divergence = jax.vmap(classification.kl_divergence)

    def beyond(variables, batch, key, step):
        p, _ = apply_fn(variables, batch.images, attack_mode)
        keys = helpers.example_keys(key, batch)
        draw = lambda k, x: jax.random.normal(k, x.shape, x.dtype)  # noqa: E731

        def away(d):
            q, _ = apply_fn(variables, batch.images + probe * d, attack_mode)
            return jnp.sum(divergence(p, q))

        direction = _unit(jax.vmap(draw)(keys, batch.images))
        for _ in range(power_steps):
            direction = _unit(jax.grad(away)(direction))
        return batch.images + eps * direction

    perturb = helpers.once(beyond)

    def objective(variables, batch, key, step):
        moved = perturb(variables, batch, key, step)
        first_key, second_key = jax.random.split(helpers.dropout_key(key))
        clean, variables = apply_fn(variables, batch.images, mode, first_key)
        there, variables = apply_fn(variables, moved, mode, second_key)
        losses = jax.vmap(helpers.cross_entropy)(clean, helpers.truth(batch))
        losses += weight * divergence(jax.lax.stop_gradient(clean), there)
        metrics = {"accuracy": helpers.accuracy(clean, batch.labels)}
        return jnp.mean(losses), Aux(metrics, variables, moved)

    return objective


def helper_based(
    apply_fn: ApplyFn,
    attack: Attack,
    threat_fn: ThreatFn,
    helper_fn: LogitsFn,
    beta: float = 2.5,
    gamma: float = 0.5,
    *,
    stretch: float = 2.0,
    attack_mode: BatchMode = "eval",
    mode: BatchMode = "batch+update",
) -> Objective:
    """TRADES, and beyond the adversarial image the answer of a helper net (HAT).

    CE(x, label) + beta * KL(p(x) || p(x_adv)) + gamma * CE(x + stretch * (x_adv - x),
    the helper's class at x_adv). The stretched image may leave the box.

    Args:
        apply_fn, threat_fn, attack_mode, mode: as of `paired.trades`.
        attack: the authors' is `perturbations.pgd_kl()`.
        helper_fn: a net trained on clean images, [B, *S] -> [B, K].
        beta, gamma: weights, > 0.
        stretch: how far beyond, as a multiple of the perturbation, > 0.
    Raises: ValueError: an argument out of its range.
    References: Rade & Moosavi-Dezfooli, "Reducing excessive margin to achieve a better
        accuracy vs. robustness trade-off", ICLR 2022. Differs from the authors' code
        in: see `perturbations.pgd_kl`.

    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> threat_fn = rj.train.Ball("linf", 0.1).threat_fn()
    >>> helper_fn = lambda x: x.reshape(len(x), -1)[:, :10]
    >>> attack = rj.train.perturbations.pgd_kl()
    >>> objective = rj.train.helper_based(apply_fn, attack, threat_fn, helper_fn)
    """
    for name, value in (("beta", beta), ("gamma", gamma), ("stretch", stretch)):
        checks.positive_number(name, value)
    perturb = helpers.perturber(apply_fn, attack, threat_fn, attack_mode)

    def objective(variables, batch, key, step):
        x_adv = perturb(variables, batch, key, step)
        beyond = batch.images + stretch * (x_adv - batch.images)
        answer = jnp.argmax(helper_fn(x_adv), axis=-1)
        keys = jax.random.split(helpers.dropout_key(key), 3)
        clean, variables = apply_fn(variables, batch.images, mode, keys[0])
        moved, variables = apply_fn(variables, x_adv, mode, keys[1])
        helped, variables = apply_fn(variables, beyond, mode, keys[2])
        losses = jax.vmap(helpers.cross_entropy)(clean, helpers.truth(batch))
        losses += beta * jax.vmap(classification.kl_divergence)(clean, moved)
        losses += gamma * jax.vmap(classification.cross_entropy)(helped, answer)
        metrics = helpers.accuracies(clean, moved, batch.labels)
        return jnp.mean(losses), Aux(metrics, variables, x_adv)

    return objective


def consistency(
    apply_fn: ApplyFn,
    attack: Attack,
    threat_fn: ThreatFn,
    augment_fn: Augment,
    weight: float = 1.0,
    *,
    temperature: float = 0.5,
    attack_mode: BatchMode = "eval",
    mode: BatchMode = "batch+update",
) -> Objective:
    """Adversarial cross entropy of two views, and the two answers' agreement.

    The mean of both cross entropies plus weight * Jensen-Shannon divergence of the
    adversarial logits over a temperature. Each view is attacked by itself.

    Args:
        apply_fn, attack, threat_fn, attack_mode, mode: as of `adversarial`.
        augment_fn: (key, image) -> image, drawn twice per example.
        weight: of the divergence, > 0.
        temperature: by which logits are divided, > 0.
    Raises: ValueError: an argument out of its range.
    References: Tack et al., "Consistency regularization for adversarial robustness",
        AAAI 2022, Eq. 6. Differs from the authors' code in: its log-probabilities are
        cut at 1e-4, ours are exact.

    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> threat_fn = rj.train.Ball("linf", 0.1).threat_fn()
    >>> flip = rj.train.augment.horizontal_flip
    >>> objective = rj.train.consistency(
    ...     apply_fn, rj.attacks.pgd(10), threat_fn, flip
    ... )
    """
    checks.positive_number("weight", weight)
    checks.positive_number("temperature", temperature)
    perturb = helpers.perturber(apply_fn, attack, threat_fn, attack_mode)

    def attacked_view(variables, batch, key, step):
        keys = helpers.example_keys(helpers.second_key(key), batch)
        view = jax.vmap(augment_fn)(keys, batch.images)
        return perturb(variables, batch._replace(images=view), key, step)

    def objective(variables, batch, key, step):
        keys = jax.random.split(key)
        views = batch.attacked
        if views is None:
            views = tuple(attacked_view(variables, batch, k, step) for k in keys)
        noise = [helpers.dropout_key(k) for k in keys]
        one, variables = apply_fn(variables, views[0], mode, noise[0])
        two, variables = apply_fn(variables, views[1], mode, noise[1])
        nats, truth = jax.vmap(helpers.cross_entropy), helpers.truth(batch)
        losses = (nats(one, truth) + nats(two, truth)) / 2
        apart = jax.vmap(classification.jensen_shannon)
        losses += weight * apart(one / temperature, two / temperature)
        shares = [helpers.accuracy(logits, batch.labels) for logits in (one, two)]
        metrics = {"accuracy": (shares[0] + shares[1]) / 2}
        return jnp.mean(losses), Aux(metrics, variables, views)

    return objective


def _unit(x: Array) -> Array:
    """Each example at Euclidean length one; zero stays zero."""
    axes = tuple(range(1, x.ndim))
    largest = jnp.max(jnp.abs(x), axis=axes, keepdims=True)
    x = x / jnp.where(largest > 0, largest, 1)  # Squares of tiny entries underflow.
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x**2, axes, keepdims=True), _TINY))


def _mean_cosine(held: Array, moving: Array) -> Array:
    products = jnp.sum(_unit(held) * _unit(moving), axis=tuple(range(1, held.ndim)))
    counts = _is_not_zero(held) & _is_not_zero(moving)
    total = jnp.sum(jnp.where(counts, products, 0))
    return total / jnp.maximum(jnp.sum(counts), 1)


def _is_not_zero(x: Array) -> Array:
    return jnp.any(x != 0, axis=tuple(range(1, x.ndim)))
