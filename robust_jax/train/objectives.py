"""Training objectives: (variables, batch, key, step) -> (loss, metrics), pure."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from robust_jax.core import drive, lift
from robust_jax.core.margin import margin
from robust_jax.core.types import Array, Attack, Threat, Untargeted
from robust_jax.losses import classification
from robust_jax.train.state import ApplyFn, Objective

ThreatFn = Callable[[Array], Threat]  # training step -> threat: radii may grow


def standard(apply_fn: ApplyFn) -> Objective:
    """Mean cross entropy on the clean images, in nats."""

    def objective(variables, batch, key, step):
        return _mean_loss(apply_fn(variables, batch.images), batch.labels)

    return objective


def adversarial(apply_fn: ApplyFn, attack: Attack, threat_fn: ThreatFn) -> Objective:
    """Mean cross entropy on images that the attack has moved.

    min over the weights of E max over the threat set of the loss; the maximum is
    approximated by the attack's last iterate, through which no gradient flows.

    Args:
        apply_fn: the net, on a batch.
        attack: an attack whose state has an `iterate`, such as `attacks.pgd(10)`.
        threat_fn: training step -> threat.
    References: Madry et al., ICLR 2018, Eq. 2.1. Differs from the authors' code in:
        nothing.
    """
    perturb = lift.over_examples(drive.last_iterate(attack))

    def objective(variables, batch, key, step):
        keys = jax.vmap(lambda p: jax.random.fold_in(key, p))(batch.positions)
        frozen = Partial(apply_fn, jax.lax.stop_gradient(variables))
        x_adv = perturb(
            keys, frozen, threat_fn(step), batch.images, Untargeted(batch.labels)
        )
        x_adv = jax.lax.stop_gradient(x_adv)
        return _mean_loss(apply_fn(variables, x_adv), batch.labels)

    return objective


def _mean_loss(logits, labels):
    losses = jax.vmap(classification.cross_entropy)(logits, labels)
    margins = jax.vmap(margin)(logits, Untargeted(labels))
    return jnp.mean(losses), {"accuracy": jnp.mean(margins < 0)}
