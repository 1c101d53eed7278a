"""What objectives are made of: attacks on a frozen net, forwards, and means."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.core import checks, drive, lift
from robust_jax.core.margin import margin
from robust_jax.core.streams import OfTraining
from robust_jax.core.types import Array, Attack, Key, Threat, Untargeted
from robust_jax.losses import classification
from robust_jax.models import BatchMode
from robust_jax.train.state import ApplyFn, Batch, Objective

AXIS = "batch"  # The name of the axis over which nets take batch statistics.

ThreatFn = Callable[[Array], Threat]  # training step -> threat: radii may grow
Perturb = Callable[[Any, Batch, Key, Array], Any]  # as an objective -> [B, *S]


class Truth(NamedTuple):
    """What an example should be called: a label, and perhaps a distribution."""

    label: Array  # [] int32
    target: Array | None  # [K], sums to one


class StatefulObjective(NamedTuple):
    """An objective and what it keeps between steps, for `Learner`.

    >>> import optax
    >>> objective, memory = rj.train.methods.Standard().objective(
    ...     rj.train.methods.Context(rj.models.ApplyMode(rj.models.by_name("mlp")))
    ... )
    >>> learner = rj.train.Learner(objective, optax.adam(1e-3), memory=memory)
    """

    objective: Objective
    memory: Any  # before the first step


def remembered(batch: Batch) -> Any:
    """What the objective kept at the step before.

    Raises: ValueError: if nobody gave its memory to the learner.
    """
    if batch.memory is None:
        raise ValueError(
            "batch.memory=None; expected what the objective keeps between steps; "
            "train by Learner(made.objective, ..., memory=made.memory)"
        )
    return batch.memory


def truth(batch: Batch) -> Truth:
    """The batch's labels and targets, to be mapped over."""
    return Truth(batch.labels, batch.targets)


def cross_entropy(logits: Array, truth: Truth, smoothing: float = 0.0) -> Array:
    """Cross entropy of one example against its target if there is one, or its label."""
    if truth.target is None and smoothing == 0:
        return classification.cross_entropy(logits, truth.label)
    target = distribution(logits, truth)
    return classification.soft_cross_entropy(
        logits, classification.smoothed(target, smoothing)
    )


def distribution(logits: Array, truth: Truth) -> Array:
    """The target, or the label as a distribution over the logits' classes."""
    if truth.target is not None:
        return truth.target
    return jax.nn.one_hot(truth.label, logits.shape[-1], dtype=logits.dtype)


def accuracy(logits: Array, labels: Array) -> Array:
    """The share of examples whose label leads; a tie is lost."""
    return jnp.mean(jax.vmap(margin)(logits, Untargeted(labels)) < 0)


def accuracies(clean: Array, moved: Array, labels: Array) -> dict[str, Array]:
    """The metrics of an objective that asks at images and at adversarial ones."""
    own, other = accuracy(moved, labels), accuracy(clean, labels)
    return {"accuracy": own, "clean_accuracy": other}


def example_keys(key: Key, batch: Batch) -> Key:
    """One key per example: its place in the batch does not matter."""
    return jax.vmap(lambda p: jax.random.fold_in(key, p))(batch.positions)


def dropout_key(key: Key) -> Key:
    """The key of what the loss draws."""
    return jax.random.fold_in(key, OfTraining.DROPOUT)


def second_key(key: Key) -> Key:
    """The key of what an objective draws beside its attack."""
    return jax.random.fold_in(key, OfTraining.SECOND)


def perturber(
    apply_fn: ApplyFn, attack: Attack, threat_fn: ThreatFn, mode: BatchMode
) -> Perturb:
    """The attack's last iterates on the net as it is; no gradient flows through.

    A batch that brings `attacked` is not attacked again.

    Args:
        apply_fn: the net.
        attack: an attack whose state has an `iterate`.
        threat_fn: training step -> threat.
        mode: the net's batch mode under attack; statistics are not stored.
    """
    run = lift.over_examples(drive.last_iterate(attack), axis_name=AXIS)

    def perturb(frozen, batch, key, step):
        logits_fn = lambda x: apply_fn(frozen, x, mode)[0]  # noqa: E731
        keys, goal = example_keys(key, batch), Untargeted(batch.labels)
        return run(keys, logits_fn, threat_fn(step), batch.images, goal)

    return once(perturb)


def once(perturb: Perturb) -> Perturb:
    """What moves images, of weights held fixed; no gradient flows through.

    A batch that brings `attacked` is not attacked again.
    """

    def held(variables, batch, key, step):
        x_adv = batch.attacked
        if x_adv is None:
            x_adv = perturb(jax.lax.stop_gradient(variables), batch, key, step)
        return jax.lax.stop_gradient(x_adv)

    return held


def check_share(name: str, value: float) -> None:
    """Raises ValueError unless a number is in [0, 1)."""
    checks.holds(name, value, lambda v: 0 <= v < 1, "a share in [0, 1)")
