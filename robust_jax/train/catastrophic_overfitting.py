"""Catastrophic overfitting: how it is detected, and what training goes on with.

Training with a single step can, within a few steps of the optimiser, find a net on
which single steps fail and several succeed; a large radius may lead there at once. The
detector compares accuracy under PGD on some training examples with the best so far, and
with accuracy under the training's own attack.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from robust_jax import attacks
from robust_jax.core import checks, compiling, drive, lift
from robust_jax.core.types import Array, Key, Untargeted
from robust_jax.train import helpers
from robust_jax.train.state import ApplyFn


@dataclasses.dataclass(frozen=True)
class OverfittingDetector:
    """When training counts as collapsed, and the PGD that it then goes on with.

    >>> detector = rj.train.OverfittingDetector(every=1.0)
    >>> detector.collapsed(now=0.1, best=0.6, own=0.9)
    True
    """

    every: float = 0.0  # epochs between two checks; 0: none
    drop: float = 0.2  # of PGD accuracy below the best so far, a share
    gap: float = 0.3  # between accuracy under the training's attack and under PGD
    images: int = 256  # training examples that are attacked
    steps: int = 10  # of PGD, in checks and after a collapse
    relative_step: float = 0.25  # of eps

    def __post_init__(self) -> None:
        checks.non_negative_number("every", self.every)
        checks.share("drop", self.drop)
        checks.share("gap", self.gap)
        checks.positive_integer("images", self.images)
        checks.positive_integer("steps", self.steps)
        checks.positive_number("relative_step", self.relative_step)

    def collapsed(self, now: float, best: float, own: float) -> bool:
        """Whether PGD accuracy is too low.

        Args:
            now: PGD accuracy on some training examples.
            best: the best so far.
            own: accuracy in training, under its own attack at the same radius.
        """
        return now < best - self.drop or now < own - self.gap


PgdAccuracy = Callable[[Any, Key], Array]  # (variables, key) -> PGD accuracy, a share


def pgd_accuracy(
    detector: OverfittingDetector,
    apply_fn: ApplyFn,
    threat: helpers.Threat,
    images: Any,
    labels: Any,
) -> PgdAccuracy:
    """Accuracy under the detector's PGD on some examples, a compiled program."""
    attack = attacks.pgd(detector.steps, detector.relative_step)
    run = lift.over_examples(drive.last_iterate(attack))

    @compiling.compiled
    def accuracy(variables, key):
        logits_fn = lambda x: apply_fn(variables, x, "eval")[0]  # noqa: E731
        keys = jax.random.split(key, len(labels))
        x_adv = run(keys, logits_fn, threat, images, Untargeted(labels))
        return helpers.accuracy(logits_fn(x_adv), labels)

    return accuracy
