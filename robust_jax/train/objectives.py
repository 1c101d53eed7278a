"""Training objectives: (variables, batch, key, step) -> (loss, Aux), pure.

Each takes the net, `models.ApplyMode(module)`, and two batch modes: `attack_mode` of
the net under attack, whose statistics are not stored, and `mode` of the loss.
"""

import jax
import jax.numpy as jnp

from robust_jax.core.types import Attack
from robust_jax.models import BatchMode
from robust_jax.train import helpers
from robust_jax.train.helpers import ThreatFn
from robust_jax.train.state import ApplyFn, Aux, Objective


def standard(
    apply_fn: ApplyFn, *, smoothing: float = 0.0, mode: BatchMode = "batch+update"
) -> Objective:
    """Mean cross entropy on the clean images, in nats.

    Args:
        apply_fn: the net.
        smoothing: share of the uniform distribution in the targets, in [0, 1).
        mode: the net's batch mode.
    Raises: ValueError: a smoothing out of its range.

    >>> apply_fn = lambda w, x, mode, key=None: (x @ w["params"], w)
    >>> batch = rj.train.Batch(jnp.eye(2), jnp.array([0, 1]), jnp.arange(2))
    >>> objective, variables = rj.train.standard(apply_fn), {"params": jnp.eye(2)}
    >>> loss, aux = jax.eval_shape(objective, variables, batch, None, 0)
    >>> loss.shape, sorted(aux.metrics)
    ((), ['accuracy'])
    """
    helpers.check_share("smoothing", smoothing)
    nats = jax.vmap(
        lambda logits, truth: helpers.cross_entropy(logits, truth, smoothing)
    )

    def objective(variables, batch, key, step):
        noise = None if key is None else helpers.dropout_key(key)
        logits, variables = apply_fn(variables, batch.images, mode, noise)
        metrics = {"accuracy": helpers.accuracy(logits, batch.labels)}
        loss = jnp.mean(nats(logits, helpers.truth(batch)))
        return loss, Aux(metrics, variables)

    return objective


def adversarial(
    apply_fn: ApplyFn,
    attack: Attack,
    threat_fn: ThreatFn,
    *,
    smoothing: float = 0.0,
    attack_mode: BatchMode = "eval",
    mode: BatchMode = "batch+update",
) -> Objective:
    """Mean cross entropy on images that the attack has moved.

    min over the weights of E max over the threat set of the loss; the maximum is
    approximated by the attack's last iterate, through which no gradient flows.
    Edge cases: with soft targets the attack still climbs the label's loss.

    Args:
        apply_fn: the net.
        attack: an attack whose state has an `iterate`, such as `attacks.pgd(10)`;
            `attacks.pgd(1, 1.25)` is FGSM-RS (Wong et al., ICLR 2020).
        threat_fn: training step -> threat.
        smoothing: share of the uniform distribution in the targets, in [0, 1).
        attack_mode: the net's batch mode under attack.
        mode: the net's batch mode in the loss.
    Raises: ValueError: a smoothing out of its range.
    References: Madry et al., ICLR 2018, Eq. 2.1. Differs from the authors' code in:
        nothing.

    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> threat_fn = rj.train.Ball("linf", 0.1).threat_fn()
    >>> objective = rj.train.adversarial(apply_fn, rj.attacks.pgd(10), threat_fn)
    """
    perturb = helpers.perturber(apply_fn, attack, threat_fn, attack_mode)
    return moved(perturb, standard(apply_fn, smoothing=smoothing, mode=mode))


def moved(perturb: helpers.Perturb, clean: Objective) -> Objective:
    """An objective of clean images on those that `helpers.once` or the like moves."""

    def objective(variables, batch, key, step):
        x_adv = perturb(variables, batch, key, step)
        loss, aux = clean(variables, batch._replace(images=x_adv), key, step)
        return loss, aux._replace(attacked=x_adv)

    return objective
