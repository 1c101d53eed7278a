"""Objectives that compare the net's answers at an image and at its adversarial one."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from robust_jax.core import checks
from robust_jax.core.types import Array, Attack
from robust_jax.losses import classification
from robust_jax.models import BatchMode
from robust_jax.train import helpers
from robust_jax.train.helpers import ThreatFn, Truth
from robust_jax.train.state import ApplyFn, Aux, Objective

_ABOVE_ONE = 1.0000001  # MART's code
_TINY = 1e-12  # MART's code

# (clean logits [K], adversarial logits [K], truth) -> [], of one example
PairLoss = Callable[[Array, Array, Truth], Array]


def paired(
    apply_fn: ApplyFn,
    attack: Attack,
    threat_fn: ThreatFn,
    loss_fn: PairLoss,
    *,
    attack_mode: BatchMode = "eval",
    mode: BatchMode = "batch+update",
) -> Objective:
    """The mean of a loss of clean and adversarial logits.

    The clean batch goes through the net first, then the adversarial one; both leave
    their statistics. No gradient flows through the attack.

    Args:
        apply_fn: the net.
        attack: an attack whose state has an `iterate`.
        threat_fn: training step -> threat.
        loss_fn: of one example.
        attack_mode: the net's batch mode under attack.
        mode: the net's batch mode in the loss.
    """
    perturb = helpers.perturber(apply_fn, attack, threat_fn, attack_mode)

    def objective(variables, batch, key, step):
        x_adv = perturb(variables, batch, key, step)
        clean_key, noise_key = jax.random.split(helpers.dropout_key(key))
        clean, variables = apply_fn(variables, batch.images, mode, clean_key)
        moved, variables = apply_fn(variables, x_adv, mode, noise_key)
        metrics = helpers.accuracies(clean, moved, batch.labels)
        losses = jax.vmap(loss_fn)(clean, moved, helpers.truth(batch))
        return jnp.mean(losses), Aux(metrics, variables, x_adv)

    return objective


def trades(
    apply_fn: ApplyFn,
    attack: Attack,
    threat_fn: ThreatFn,
    beta: float = 6.0,
    *,
    smoothing: float = 0.0,
    attack_mode: BatchMode = "eval",
    mode: BatchMode = "batch+update",
) -> Objective:
    """Cross entropy at x plus beta times KL(net at x || net at x_adv).

    Gradients flow through both sides of the divergence. Over the batch it is a mean,
    over the classes a sum.

    Args:
        apply_fn, threat_fn, attack_mode, mode: as of `paired`.
        attack: the authors' is `perturbations.pgd_kl()`.
        beta: weight of robustness, > 0 (1 / lambda in the paper).
        smoothing: of the clean term's targets, in [0, 1).
    Raises: ValueError: an argument out of its range.
    References: Zhang et al., "Theoretically principled trade-off between robustness and
        accuracy", ICML 2019, Eq. 5. Differs from the authors' code in: see
        `perturbations.pgd_kl`; log-probabilities are exact.

    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> threat_fn = rj.train.Ball("linf", 0.1).threat_fn()
    >>> objective = rj.train.trades(
    ...     apply_fn, rj.train.perturbations.pgd_kl(), threat_fn, beta=6.0
    ... )
    """
    checks.positive_number("beta", beta)
    helpers.check_share("smoothing", smoothing)

    def loss(clean, moved, truth):
        divergence = classification.kl_divergence(clean, moved)
        return helpers.cross_entropy(clean, truth, smoothing) + beta * divergence

    modes = {"attack_mode": attack_mode, "mode": mode}
    return paired(apply_fn, attack, threat_fn, loss, **modes)


def mart(
    apply_fn: ApplyFn,
    attack: Attack,
    threat_fn: ThreatFn,
    beta: float = 5.0,
    *,
    attack_mode: BatchMode = "eval",
    mode: BatchMode = "batch+update",
) -> Objective:
    """Boosted cross entropy at x_adv, and a divergence that weighs errors more.

    BCE(x_adv) + beta * KL(net at x || net at x_adv) * (1 - p_label(x)).
    Edge cases: labels are used, soft targets are not.

    Args:
        apply_fn, threat_fn, attack_mode, mode: as of `paired`.
        attack: the authors' is `perturbations.pgd_near()`.
        beta: weight of the divergence, > 0.
    Raises: ValueError: an argument out of its range.
    References: Wang et al., "Improving adversarial robustness requires revisiting
        misclassified examples", ICLR 2020, Eq. 11, with the code's constants. Differs
        from the authors' code in: the start is feasible; log-probabilities of the
        boosted term are exact; in L2 ball and box together; a zero gradient moves
        nothing.

    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> threat_fn = rj.train.Ball("linf", 0.1).threat_fn()
    >>> objective = rj.train.mart(
    ...     apply_fn, rj.train.perturbations.pgd_near(), threat_fn, beta=5.0
    ... )
    """
    checks.positive_number("beta", beta)

    def loss(clean, moved, truth):
        p, q = jax.nn.softmax(clean), jax.nn.softmax(moved)
        log_ratio = jax.nn.log_softmax(clean) - jnp.log(q + _TINY)
        divergence = jnp.sum(p * jnp.where(p == 0, 0, log_ratio))
        p_label = jnp.sum(jnp.where(jnp.arange(p.shape[0]) == truth.label, p, 0))
        boosted = classification.boosted_cross_entropy(moved, truth.label)
        return boosted + beta * divergence * (_ABOVE_ONE - p_label)

    modes = {"attack_mode": attack_mode, "mode": mode}
    return paired(apply_fn, attack, threat_fn, loss, **modes)


def logit_pairing(
    apply_fn: ApplyFn,
    attack: Attack,
    threat_fn: ThreatFn,
    weight: float = 0.5,
    *,
    attack_mode: BatchMode = "eval",
    mode: BatchMode = "batch+update",
) -> Objective:
    """Half clean, half adversarial cross entropy, and the logits' squared distance.

    (CE(x) + CE(x_adv)) / 2 + weight * mean over the classes of (z(x) - z(x_adv))^2.

    Args:
        apply_fn, attack, threat_fn, attack_mode, mode: as of `paired`.
        weight: of the distance, > 0.
    Raises: ValueError: an argument out of its range.
    References: Kannan et al., "Adversarial logit pairing", 2018, Eq. 1. Not compared
        with the authors' code.

    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> threat_fn = rj.train.Ball("linf", 0.1).threat_fn()
    >>> objective = rj.train.logit_pairing(
    ...     apply_fn, rj.attacks.pgd(10), threat_fn, weight=0.5
    ... )
    """
    checks.positive_number("weight", weight)

    def loss(clean, moved, truth):
        both = (
            helpers.cross_entropy(clean, truth) + helpers.cross_entropy(moved, truth)
        ) / 2
        return both + weight * jnp.mean((clean - moved) ** 2)

    modes = {"attack_mode": attack_mode, "mode": mode}
    return paired(apply_fn, attack, threat_fn, loss, **modes)


def score(
    apply_fn: ApplyFn,
    attack: Attack,
    threat_fn: ThreatFn,
    beta: float = 3.0,
    *,
    smoothing: float = 0.1,
    attack_mode: BatchMode = "batch",
    mode: BatchMode = "batch+update",
) -> Objective:
    """TRADES with squared distances of softmaxes in the place of nats (LSE).

    |p(x) - target|^2 + beta * |p(x) - p(x_adv)|^2, sums over the classes.

    Args:
        apply_fn, threat_fn, attack_mode, mode: as of `paired`.
        attack: the authors' is `perturbations.pgd_squared()`.
        beta: weight of robustness, > 0.
        smoothing: share of the uniform distribution among the K classes, in [0, 1).
    Raises: ValueError: an argument out of its range.
    References: Pang et al., "Robustness and accuracy could be reconcilable by (proper)
        definition", ICML 2022. Differs from the authors' code in: its smoothing s goes
        to the other classes, which is s * K / (K - 1) here.

    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> threat_fn = rj.train.Ball("linf", 0.1).threat_fn()
    >>> objective = rj.train.score(
    ...     apply_fn, rj.train.perturbations.pgd_squared(), threat_fn, beta=3.0
    ... )
    """
    checks.positive_number("beta", beta)
    helpers.check_share("smoothing", smoothing)

    def loss(clean, moved, truth):
        target = helpers.distribution(clean, truth)
        target = classification.smoothed(target, smoothing)
        apart = classification.squared_error(moved, jax.nn.softmax(clean))
        return classification.squared_error(clean, target) + beta * apart

    modes = {"attack_mode": attack_mode, "mode": mode}
    return paired(apply_fn, attack, threat_fn, loss, **modes)
