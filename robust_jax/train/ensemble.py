"""Adversarial training on examples that other, fixed nets were fooled by."""

from collections.abc import Sequence

import jax

from robust_jax.core.types import Attack, LogitsFn
from robust_jax.models import BatchMode
from robust_jax.train import combinators, helpers
from robust_jax.train.helpers import ThreatFn
from robust_jax.train.objectives import moved, standard
from robust_jax.train.state import ApplyFn, Objective


def ensemble_adversarial(
    apply_fn: ApplyFn,
    sources: Sequence[LogitsFn],
    attack: Attack,
    threat_fn: ThreatFn,
    *,
    clean_share: float = 0.5,
    attack_mode: BatchMode = "eval",
    mode: BatchMode = "batch+update",
) -> Objective:
    """Cross entropy, half on clean images and half on a random net's adversarial ones.

    Each batch draws one of the sources and the net in training, all with the same odds,
    and attacks that one. Static sources decouple the examples from the net, which then
    cannot learn to spoil a single-step attack by curving its loss.
    Guarantees: deterministic in key; without sources it is
    `mixed(adversarial, standard, clean_share)`.
    The cost of one attack, whatever the number of sources: the choice is made for the
    whole batch, so that `lax.switch` runs one branch, where a choice for each example
    would have to compute all. Under a `vmap` over keys all run.

    Args:
        apply_fn: the net in training.
        sources: trained nets of the same images and classes, [*B, *S] -> [*B, K]; their
            weights are constants of the program, such as `models.logits_fn` gives.
        attack: an attack whose state has an `iterate`; the authors' is `attacks.fgsm()`
            (MNIST) or one step to a likely wrong class (ImageNet).
        threat_fn: training step -> threat.
        clean_share: of the clean images in the loss, in (0, 1).
        attack_mode: the trained net's batch mode under attack.
        mode: its batch mode in the loss; the adversarial batch goes first.
    Raises: ValueError: a share out of its range.
    References: Tramer et al., "Ensemble adversarial training: attacks and defenses",
        ICLR 2018, Sec. 4. Differs from the authors' code in: keys by example for
        attacks with a random start; the batch modes are arguments.

    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> threat_fn = rj.train.Ball("linf", 0.1).threat_fn()
    >>> sources = [lambda x: x.reshape(len(x), -1)[:, :10]]
    >>> objective = rj.train.ensemble_adversarial(
    ...     apply_fn, sources, rj.attacks.fgsm(), threat_fn
    ... )
    """
    nets = [(apply_fn, attack_mode), *((_static(fn), "eval") for fn in sources)]
    perturbs = [helpers.perturber(fn, attack, threat_fn, mode) for fn, mode in nets]
    clean = standard(apply_fn, mode=mode)

    def perturb(frozen, batch, key, step):
        plain = batch._replace(memory=None)  # Only what all branches need.
        index = jax.random.randint(helpers.second_key(key), (), 0, len(perturbs))
        return jax.lax.switch(index, perturbs, frozen, plain, key, step)

    on_moved = moved(helpers.once(perturb), clean)
    return combinators.mixed(on_moved, clean, clean_share)


def _static(logits_fn: LogitsFn) -> ApplyFn:
    def apply_fn(variables, images, mode, key=None):
        return logits_fn(images), variables

    return apply_fn
