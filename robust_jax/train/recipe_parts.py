"""The parts of a recipe: frozen data, each number checked where it is given."""

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp

from robust_jax import attacks, threats
from robust_jax.core import array_checks, checks
from robust_jax.core.types import Array, Attack, Threat
from robust_jax.models import BatchMode
from robust_jax.train import perturbations
from robust_jax.train.helpers import ThreatFn, check_share

Rates = Literal["cosine", "piecewise", "triangular", "one_cycle", "constant"]
_RATES = ("cosine", "piecewise", "triangular", "one_cycle", "constant")
MODES = ("eval", "batch", "batch+update", "frozen")
ATTACKS: dict[str, Callable[[int, float], Attack]] = {
    "fgsm": lambda steps, size: attacks.fgsm(),
    "fgsm_rs": lambda steps, size: perturbations.fgsm_rs(size),
    "pgd": attacks.pgd,
    "pgd_kl": perturbations.pgd_kl,
    "pgd_near": perturbations.pgd_near,
    "pgd_squared": perturbations.pgd_squared,
    "n_fgsm": lambda steps, size: perturbations.n_fgsm(),
}


@dataclasses.dataclass(frozen=True)
class Ball:
    """What training is robust against; eps 0 trains on clean images.

    >>> threat_fn = rj.train.Ball("linf", 0.3).threat_fn(growth_steps=10)
    >>> round(float(threat_fn(4).eps), 3)  # At the fifth step of ten.
    0.15
    """

    norm: str = "linf"
    eps: float = 0.0  # pixel units of [0, 1]
    growth_epochs: float = 0.0  # eps grows linearly from 0; at most half the epochs

    def __post_init__(self) -> None:
        threats.by_name(self.norm)  # Raises if there is none.
        array_checks.eps(self.norm, self.eps)
        checks.non_negative_number("growth_epochs", self.growth_epochs)

    def threat_fn(self, growth_steps: float = 0.0) -> ThreatFn:
        """Training step -> threat, with the radius that has grown so far."""
        kind = threats.by_name(self.norm)

        def threat(step: Array) -> Threat:
            share = jnp.minimum(1.0, (step + 1) / growth_steps) if growth_steps else 1.0
            return kind(jnp.float32(self.eps) * share)

        return threat


@dataclasses.dataclass(frozen=True)
class Inner:
    """The attack inside a training step.

    >>> rj.train.Inner("fgsm_rs", relative_step=1.25).attack()
    fgsm_rs(relative_step=1.25)
    """

    name: str = ""  # of `ATTACKS`; "" is the method's own
    steps: int = 10
    relative_step: float = 0.25  # of eps
    mode: BatchMode = "eval"  # the net's batch mode under attack

    def __post_init__(self) -> None:
        checks.positive_integer("steps", self.steps)
        checks.positive_number("relative_step", self.relative_step)
        checks.known_name("batch mode", self.mode, MODES)
        if self.name:
            checks.known_name("inner attack", self.name, ATTACKS)

    def attack(self, default: str = "pgd") -> Attack:
        """The attack, or the default if it has no name."""
        return ATTACKS[self.name or default](self.steps, self.relative_step)


@dataclasses.dataclass(frozen=True)
class Descent:
    """Optimiser and learning rate.

    >>> rj.train.Descent("sgd", rate=0.1, schedule="triangular").momentum
    0.9
    """

    name: Literal["adamw", "sgd"] = "adamw"
    rate: float = 1e-3  # at the peak
    weight_decay: float = 0.0  # adamw: decoupled; sgd: added to the gradient
    decay_all: bool = True  # False spares biases and scales (one axis or none)
    momentum: float = 0.9  # sgd's
    nesterov: bool = False
    schedule: Rates = "cosine"
    warm_up: float = 0.1  # share of the steps over which the rate rises
    final_rate: float = 0.01  # last rate as a share of the peak
    drops: tuple[float, ...] = ()  # piecewise: epochs ...
    factors: tuple[float, ...] = ()  # ... and what the rate is multiplied by there
    clip_norm: float = 0.0  # of the whole gradient; 0 does not clip
    accumulate: int = 1  # batches per step of the optimiser

    def __post_init__(self) -> None:
        checks.known_name("optimiser", self.name, ("adamw", "sgd"))
        checks.known_name("schedule", self.schedule, _RATES)
        checks.positive_number("rate", self.rate)
        checks.positive_integer("accumulate", self.accumulate)
        for name in ("weight_decay", "clip_norm"):
            checks.non_negative_number(name, getattr(self, name))
        check_share("warm_up", self.warm_up)
        check_share("momentum", self.momentum)
        within = "a share in [0, 1]"
        checks.holds("final_rate", self.final_rate, lambda v: 0 <= v <= 1, within)
        if len(self.drops) != len(self.factors):
            raise ValueError(
                f"drops={self.drops}, factors={self.factors}; expected as many factors "
                "as drops"
            )


@dataclasses.dataclass(frozen=True)
class Data:
    """Batches: their size, augmentation, and extra examples.

    >>> rj.train.Data(batch_size=64, augment=("crop-4", "flip")).replays
    1
    """

    batch_size: int = 128
    augment: tuple[str, ...] = ()  # such as "crop-4", "flip", "cutout-8"
    mixture: str = ""  # "mixup-1.0" or "cutmix-1.0"
    extra_share: float = 0.0  # of each batch, from extra data
    replays: int = 1  # how often each batch is seen in a row

    def __post_init__(self) -> None:
        checks.positive_integer("batch_size", self.batch_size)
        checks.positive_integer("replays", self.replays)
        check_share("extra_share", self.extra_share)


@dataclasses.dataclass(frozen=True)
class Weights:
    """Averages of the weights, and which weights training gives back.

    >>> rj.train.Weights(ema=(0.99,), swa_from=5).names()
    ('live', 'ema_0.99', 'swa')
    """

    ema: tuple[float, ...] = ()  # decays
    swa_from: float = -1.0  # epoch from which weights are averaged equally; -1: never
    give: str = "live"  # or "ema_0.995", "swa"
    keep: Literal["last", "best"] = "last"  # best on robust validation accuracy

    def __post_init__(self) -> None:
        for decay in self.ema:
            checks.share("ema", decay)
        checks.known_name("keep", self.keep, ("last", "best"))
        checks.known_name("weights", self.give, self.names())

    def names(self) -> tuple[str, ...]:
        """All weights that there are."""
        emas = tuple(f"ema_{decay:g}" for decay in self.ema)
        return ("live", *emas, *(("swa",) if self.swa_from >= 0 else ()))
