"""Training methods: frozen numbers, and the objective that they give of a context."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from robust_jax.core import checks
from robust_jax.core.types import LogitsFn
from robust_jax.models import BatchMode
from robust_jax.train import (
    combinators,
    objectives,
    paired,
    regularised,
    several_threats,
)
from robust_jax.train.augment import Augment
from robust_jax.train.ensemble import ensemble_adversarial
from robust_jax.train.free import free_adversarial
from robust_jax.train.helpers import StatefulObjective, ThreatFn
from robust_jax.train.pool import pooled
from robust_jax.train.recipe_parts import MODES, Ball, Inner
from robust_jax.train.state import ApplyFn, Objective

METHODS: dict[str, type["Method"]] = {}  # The classes of this module, by name.

Build = Callable[
    ..., Objective | StatefulObjective
]  # of the net, arguments, numbers and mode


class Context(NamedTuple):
    """What an objective needs beside its method's numbers.

    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> context = rj.train.methods.Context(apply_fn, (rj.train.Ball("linf", 0.1),))
    >>> objective, memory = rj.train.methods.Trades(beta=3.0).objective(context)
    """

    apply_fn: ApplyFn
    balls: tuple[Ball, ...] = (Ball(),)  # the first one is the recipe's own
    inner: Inner = Inner()
    steps_per_epoch: int = 1
    growth_steps: float = 0.0  # over which radii grow
    batch_size: int = 1  # B
    shape: tuple[int, ...] = ()  # *S of one image
    augment_fn: Augment | None = None
    teachers: tuple[LogitsFn, ...] = ()

    def threat_fns(self) -> list[ThreatFn]:
        """Training step -> threat, of each ball."""
        return [ball.threat_fn(self.growth_steps) for ball in self.balls]


@dataclass(frozen=True, kw_only=True)
class Method:
    """The loss of a recipe: subclasses have their own numbers, as `Trades(beta=3)`.

    One of your own is `class Mine(Method, name="mine", build=function)`, a dataclass of
    the function's numbers; the function takes them, the net, an attack and a threat,
    and gives an objective. Recipes know it by its name.

    >>> rj.train.methods.Trades(beta=3.0, awp=0.005).given()
    {'awp': 0.005, 'beta': 3.0}
    """

    name: str = dataclasses.field(default="", init=False, repr=False)
    mode: BatchMode = "batch+update"  # the net's batch mode in the loss
    clean_share: float = 0.0  # of the loss, cross entropy on clean images
    awp: float = 0.0  # adversarial weight perturbation, share of each norm
    awp_after: float = 0.0  # epochs without it
    sam: float = 0.0  # sharpness-aware minimisation, Euclidean
    attack: ClassVar[str]  # of its authors, where the recipe names none
    _build: ClassVar[Build]

    def __init_subclass__(cls, name: str, build: Build, attack: str = "pgd") -> None:
        cls.name, cls.attack, cls._build = name, attack, staticmethod(build)
        METHODS[name] = cls

    def __post_init__(self) -> None:
        checks.known_name("batch mode", self.mode, MODES)
        for name in ("clean_share", "awp", "awp_after", "sam"):
            checks.non_negative_number(name, getattr(self, name))

    def objective(self, context: Context) -> StatefulObjective:
        """The loss with what the recipe puts around it, and its memory.

        Raises: ValueError: a context that lacks what the method needs.
        """
        arguments = self._arguments(context) | {n: getattr(self, n) for n in _own(self)}
        built = self._build(context.apply_fn, **arguments, mode=self.mode)
        base, memory = built if isinstance(built, StatefulObjective) else (built, None)
        if self.clean_share:
            clean = objectives.standard(context.apply_fn, mode=self.mode)
            base = combinators.mixed(base, clean, self.clean_share)
        if self.awp:
            wait = round(self.awp_after * context.steps_per_epoch)
            base = combinators.awp(base, self.awp, warm_up_steps=wait)
        base = combinators.sam(base, self.sam) if self.sam else base
        return StatefulObjective(base, memory)

    def given(self) -> dict[str, Any]:
        """The values that differ from their defaults."""
        fields = [field for field in dataclasses.fields(self) if field.init]
        values = {field.name: getattr(self, field.name) for field in fields}
        return {f.name: values[f.name] for f in fields if values[f.name] != f.default}

    def called(self, name: str, changes: Mapping[str, Any]) -> "Method":
        """The method of a name with the values given to this one.

        Raises: ValueError: an unknown name; a value given or to come that it lacks.
        """
        checks.known_name("method", name, METHODS)
        own, given = _own(METHODS[name]), self.given()
        lacks = {number for kind in METHODS.values() for number in _own(kind)} - {*own}
        for number, value in {**given, **changes}.items():
            if number in lacks:
                shown = value if isinstance(value, str) else f"{value:g}"
                has = f"it has {', '.join(own)}" if own else "it has none"
                raise ValueError(
                    f"method.{number}={shown}; {name} has no such number: {has}"
                )
        return METHODS[name](**given)

    def _arguments(self, context: Context) -> dict[str, Any]:
        """What the objective takes of the context; here an attack under one threat."""
        attack, mode = context.inner.attack(self.attack), context.inner.mode
        threat_fn = context.threat_fns()[0]
        return {"attack": attack, "threat_fn": threat_fn, "attack_mode": mode}

    def _needed(self, value: Any, what: str) -> Any:
        if not value:
            raise ValueError(f"method {self.name} needs {what}; the recipe names none")
        return value


def _own(method: Any) -> list[str]:
    """The names of a method's own numbers."""
    shared = {field.name for field in dataclasses.fields(Method)}
    return [f.name for f in dataclasses.fields(method) if f.name not in shared]


def _average(apply_fn: ApplyFn, pairs: Any, **modes: Any) -> Objective:
    parts = [objectives.adversarial(apply_fn, *pair, **modes) for pair in pairs]
    return combinators.average_of(*parts)


@dataclass(frozen=True)
class Standard(Method, name="standard", build=objectives.standard):
    """Cross entropy on clean images, see `objectives.standard`."""

    smoothing: float = 0.0

    def _arguments(self, context: Context) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Adversarial(Method, name="adversarial", build=objectives.adversarial):
    """Cross entropy on adversarial images, see `objectives.adversarial`."""

    smoothing: float = 0.0


@dataclass(frozen=True)
class Trades(Method, name="trades", build=paired.trades, attack="pgd_kl"):
    """Clean cross entropy and a divergence, see `paired.trades`."""

    beta: float = 6.0
    smoothing: float = 0.0


@dataclass(frozen=True)
class Mart(Method, name="mart", build=paired.mart, attack="pgd_near"):
    """Misclassified examples weigh more, see `paired.mart`."""

    beta: float = 5.0


@dataclass(frozen=True)
class Score(Method, name="score", build=paired.score, attack="pgd_squared"):
    """TRADES with squared distances of softmaxes, see `paired.score`."""

    beta: float = 3.0
    smoothing: float = 0.1


@dataclass(frozen=True)
class LogitPairing(Method, name="logit_pairing", build=paired.logit_pairing):
    """Clean and adversarial logits close together, see `paired.logit_pairing`."""

    weight: float = 0.5


@dataclass(frozen=True)
class GradAlign(Method, name="grad_align", build=regularised.grad_align, attack="fgsm"):
    """Input gradients that agree around the image, see `regularised.grad_align`."""

    weight: float = 0.2


@dataclass(frozen=True)
class Vat(Method, name="vat", build=regularised.vat):
    """Virtual adversarial training, see `regularised.vat`."""

    weight: float = 1.0

    def _arguments(self, context: Context) -> dict[str, Any]:
        return {"eps": context.balls[0].eps, "attack_mode": context.inner.mode}


@dataclass(frozen=True)
class HelperBased(
    Method, name="helper_based", build=regularised.helper_based, attack="pgd_kl"
):
    """TRADES and the answer of a teacher, see `regularised.helper_based`."""

    beta: float = 2.5
    gamma: float = 0.5

    def _arguments(self, context: Context) -> dict[str, Any]:
        teacher, *_ = self._needed(context.teachers, "a teacher")
        return super()._arguments(context) | {"helper_fn": teacher}


@dataclass(frozen=True)
class Consistency(Method, name="consistency", build=regularised.consistency):
    """Two augmented views with the same answer, see `regularised.consistency`."""

    weight: float = 1.0
    temperature: float = 0.5

    def _arguments(self, context: Context) -> dict[str, Any]:
        augment_fn = self._needed(context.augment_fn, "an augmentation")
        return super()._arguments(context) | {"augment_fn": augment_fn}


class WorstOf(Method, name="worst_of", build=several_threats.worst_of):
    """The worst of several threats, see `several_threats.worst_of`."""

    def _arguments(self, context: Context) -> dict[str, Any]:
        attack, mode = context.inner.attack(self.attack), context.inner.mode
        pairs = [(attack, threat_fn) for threat_fn in context.threat_fns()]
        return {"pairs": pairs, "attack_mode": mode}


class AverageOf(WorstOf, name="average", build=_average):
    """The mean over several threats, see `combinators.average_of`."""


class MultiSteepestDescent(
    Method, name="multi_steepest_descent", build=several_threats.multi_steepest_descent
):
    """Each step the worst, see `several_threats.multi_steepest_descent`."""

    def _arguments(self, context: Context) -> dict[str, Any]:
        inner = context.inner
        threats = [(inner.relative_step, each) for each in context.threat_fns()]
        return {"threats": threats, "steps": inner.steps, "attack_mode": inner.mode}


@dataclass(frozen=True)
class Free(Method, name="free", build=free_adversarial):
    """One backward pass for weights and attack, see `free.free_adversarial`."""

    smoothing: float = 0.0

    def _arguments(self, context: Context) -> dict[str, Any]:
        found = {"threat_fn": context.threat_fns()[0], "shape": context.shape}
        size, step = context.batch_size, context.inner.relative_step
        return found | {"batch_size": size, "relative_step": step}


@dataclass(frozen=True)
class Pooled(Method, name="pool", build=pooled):
    """Clean images and a pool of adversarial ones, see `pool.pooled`."""

    size: int = 512  # places
    share: float = 0.5  # of the pool in the loss
    replaced: int = 16  # of its places, per step
    taken: int = 64  # of its examples, per step

    def _arguments(self, context: Context) -> dict[str, Any]:
        return super()._arguments(context) | {"shape": context.shape}


class Ensemble(Method, name="ensemble", build=ensemble_adversarial, attack="fgsm"):
    """Images that fooled fixed nets, see `ensemble.ensemble_adversarial`."""

    def _arguments(self, context: Context) -> dict[str, Any]:
        sources = self._needed(context.teachers, "teachers")
        return super()._arguments(context) | {"sources": sources}
