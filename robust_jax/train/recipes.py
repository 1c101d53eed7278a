"""Recipes: what to train on what, as frozen data with a source for every number."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import optax

from robust_jax import attacks, threats
from robust_jax.core import checks
from robust_jax.core.types import Array
from robust_jax.train import objectives
from robust_jax.train.pieces import ThreatFn
from robust_jax.train.state import ApplyFn, Objective


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train one net; `eps = 0` trains on clean images.

    Raises: ValueError: a number out of its range, in one sentence.
    """

    dataset: str
    model: str
    model_config: tuple[tuple[str, Any], ...] = ()  # (name, value), hashable
    norm: str = "linf"
    eps: float = 0.0  # pixel units of [0, 1]
    attack_steps: int = 10
    relative_step: float = 0.25  # of eps
    growth_epochs: float = 0.0  # eps grows linearly from 0; at most half the epochs
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 1e-3  # Adam's, at the peak
    weight_decay: float = 0.0  # decoupled (AdamW), per unit of learning rate
    warm_up: float = 0.1  # share of the steps over which the rate rises
    final_rate: float = 0.01  # last learning rate as a share of the peak

    def __post_init__(self) -> None:
        threats.by_name(self.norm)  # Raises if there is none.
        checks.eps(self.norm, self.eps)
        for name in ("attack_steps", "epochs", "batch_size"):
            checks.positive_integer(name, getattr(self, name))
        for name in ("relative_step", "learning_rate"):
            checks.positive_number(name, getattr(self, name))
        for name in ("growth_epochs", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)}; expected >= 0")
        if not 0 <= self.warm_up < 1:
            raise ValueError(f"warm_up={self.warm_up}; expected a share in [0, 1)")
        if not 0 <= self.final_rate <= 1:
            raise ValueError(
                f"final_rate={self.final_rate}; expected a share in [0, 1]"
            )

    def steps_per_epoch(self, n: int) -> int:
        """Steps in which each of n examples is seen at least once."""
        return -(-n // self.batch_size)

    def optimiser(self, steps_per_epoch: int) -> optax.GradientTransformation:
        """Adam with decoupled weight decay along `schedule`."""
        schedule = self.schedule(steps_per_epoch)
        return optax.adamw(schedule, weight_decay=self.weight_decay)

    def schedule(self, steps_per_epoch: int) -> optax.Schedule:
        """Linear warm-up, then a cosine to `final_rate` times the peak."""
        steps = self.epochs * steps_per_epoch
        return optax.warmup_cosine_decay_schedule(
            self.learning_rate * self.final_rate,
            self.learning_rate,
            int(self.warm_up * steps),
            steps,
            self.learning_rate * self.final_rate,
        )

    def threat_fn(self, steps_per_epoch: int) -> ThreatFn:
        """Training step -> threat, with the radius that has grown so far."""
        ball = threats.by_name(self.norm)
        # A short run still sees the full radius for half of its time.
        growth = min(self.growth_epochs, self.epochs / 2) * steps_per_epoch

        def threat(step: Array) -> Any:
            share = jnp.minimum(1.0, (step + 1) / growth) if growth else 1.0
            return ball(jnp.float32(self.eps) * share)

        return threat

    def objective(self, apply_fn: ApplyFn, steps_per_epoch: int) -> Objective:
        """What a step descends: clean or adversarial cross entropy."""
        if self.eps == 0:
            return objectives.standard(apply_fn)
        attack = attacks.pgd(self.attack_steps, self.relative_step)
        threat_fn = self.threat_fn(steps_per_epoch)
        return objectives.adversarial(apply_fn, attack, threat_fn)
