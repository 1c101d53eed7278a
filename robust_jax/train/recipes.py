"""Recipes: what to train on what, as frozen data with a source for every number."""

import dataclasses
import json
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, Self, cast

import optax

from robust_jax.core import checks
from robust_jax.core.types import LogitsFn
from robust_jax.train import augment, averages, optimisers
from robust_jax.train.batches import Batching
from robust_jax.train.catastrophic_overfitting import OverfittingDetector
from robust_jax.train.helpers import StatefulObjective
from robust_jax.train.methods import Adversarial, Context, Method
from robust_jax.train.recipe_parts import Ball, Data, Descent, Inner, Weights
from robust_jax.train.state import ApplyFn, Average, Learner


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train one net.

    Raises: ValueError: a number out of its range, in one sentence.

    >>> recipe = rj.train.Recipe("digits", "mlp", method=rj.train.methods.Trades())
    >>> recipe.changed({"method.beta": "3.0", "epochs": 5}).method.beta
    3.0
    """

    dataset: str
    model: str
    model_config: tuple[tuple[str, Any], ...] = ()  # (name, value), hashable
    ball: Ball = Ball()
    more_balls: tuple[Ball, ...] = ()  # of the methods against several threats
    attack: Inner = Inner()
    method: Method = Adversarial()
    descent: Descent = Descent()
    data: Data = Data()
    weights: Weights = Weights()
    watch: OverfittingDetector = OverfittingDetector()
    teachers: tuple[str, ...] = ()  # recipes of nets that are trained before
    epochs: int = 20
    validate_every: int = 1  # epochs; the last one always
    precision: Literal["float32", "bfloat16"] = "float32"  # of the net's arithmetic
    source: str = ""

    def __post_init__(self) -> None:
        checks.positive_integer("epochs", self.epochs)
        checks.positive_integer("validate_every", self.validate_every)
        checks.known_name("precision", self.precision, ("float32", "bfloat16"))
        checks.instance("method", self.method, Method, "such as train.methods.Trades()")
        augment.by_names(self.data.augment)
        augment.mixture_by_name(self.data.mixture)

    def changed(self, changes: dict[str, Any]) -> Self:
        """The recipe with other values, such as {"attack.steps": 20}.

        Text is read as the field's type has it: "0.3", "true", "crop-4,flip". The value
        None changes nothing.

        Raises: ValueError: an unknown field, the nearest one is suggested; a text that
            is no such value.
        """
        given = {path: value for path, value in changes.items() if value is not None}
        return cast(Self, _changed(self, given))

    def fields(self) -> dict[str, str]:
        """All values by path, written as `changed` reads them."""
        return dict(_paths("", self))

    def remedy(self) -> Self:
        """The recipe that training goes on with after a collapse: PGD's."""
        detector = self.watch
        attack = dataclasses.replace(
            self.attack,
            name="pgd",
            steps=detector.steps,
            relative_step=detector.relative_step,
        )
        smoothing = self.method.given().get("smoothing", 0.0)
        method = Adversarial(mode=self.method.mode, smoothing=smoothing)
        return dataclasses.replace(self, attack=attack, method=method)

    def batching(self, num_classes: int) -> Batching:
        """How this recipe makes batches."""
        return Batching(
            self.data.batch_size,
            self.data.extra_share,
            self.data.replays,
            augment.by_names(self.data.augment),
            augment.mixture_by_name(self.data.mixture),
            num_classes,
        )

    def learner(
        self,
        apply_fn: ApplyFn,
        n: int,
        shape: tuple[int, ...],
        *,
        teachers: tuple[LogitsFn, ...] = (),
    ) -> Learner:
        """What a step does when training on n examples.

        Args:
            apply_fn: the net, such as `models.ApplyMode(module)`.
            n: size of the training set.
            shape: the shape *S of one image.
            teachers: trained nets, one for each of `teachers`.
        """
        steps = self.steps_per_epoch(n)
        objective, memory = self.objective(apply_fn, steps, shape, teachers)
        return Learner(objective, self.optimiser(steps), self.averages(steps), memory)

    def steps_per_epoch(self, n: int) -> int:
        """Steps in which each of n examples is seen at least once."""
        return self.batching(0).steps_per_epoch(n)

    def objective(
        self,
        apply_fn: ApplyFn,
        steps_per_epoch: int,
        shape: tuple[int, ...],
        teachers: tuple[LogitsFn, ...] = (),
    ) -> StatefulObjective:
        """The loss of a step, with its memory."""
        # A short run still sees the full radius for half of its time.
        growth = min(self.ball.growth_epochs, self.epochs / 2) * steps_per_epoch
        context = Context(
            apply_fn,
            (self.ball, *self.more_balls),
            self.attack,
            steps_per_epoch,
            growth,
            self.data.batch_size,
            shape,
            augment.by_names(self.data.augment),
            teachers,
        )
        return self.method.objective(context)

    def optimiser(self, steps_per_epoch: int) -> optax.GradientTransformation:
        """Of "params" alone."""
        return optimisers.optimiser(self.descent, self.epochs, steps_per_epoch)

    def averages(self, steps_per_epoch: int) -> tuple[tuple[str, Average], ...]:
        """The weights' averages, by name."""
        found = averages.bank(self.weights.ema) if self.weights.ema else ()
        if self.weights.swa_from < 0:
            return found
        first = round(self.weights.swa_from * steps_per_epoch)
        return (*found, ("swa", averages.swa(first, steps_per_epoch)))


def _paths(head: str, part: Any) -> Iterator[tuple[str, str]]:
    for field in dataclasses.fields(part):
        path, value = head + field.name, getattr(part, field.name)
        if dataclasses.is_dataclass(value):
            yield from _paths(f"{path}.", value)
        elif field.name == "model_config":
            yield from ((f"{path}.{name}", json.dumps(v)) for name, v in value)
        else:
            yield path, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(_text(each) for each in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _changed(part: Any, changes: dict[str, Any], head: str = "") -> Any:
    if isinstance(part, Method):
        part = part.called(changes.pop("name", part.name), changes)
    fields = {field.name: field for field in dataclasses.fields(part)}
    values: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for path, value in changes.items():
        name, _, rest = path.partition(".")
        checks.known_name("field", name, fields)
        if rest:
            inner.setdefault(name, {})[rest] = value
        else:
            kind = typing.get_type_hints(type(part))[name]
            is_text = isinstance(value, str)
            values[name] = _read(kind, head + name, value) if is_text else value
    for name, more in inner.items():
        old = getattr(part, name)
        if name == "model_config":  # Any name: the net checks it.
            new = {key: _literal(value) for key, value in more.items()}
            values[name] = tuple((dict(old) | new).items())
        elif dataclasses.is_dataclass(old):
            values[name] = _changed(old, more, f"{head}{name}.")
        else:
            raise ValueError(f"{head}{name}.{next(iter(more))}: {name} has no parts")
    return dataclasses.replace(part, **values)


def _read(kind: Any, path: str, text: str) -> Any:
    """A text as a field's type has it."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):  # Here only "a number or None".
        return None if text == "None" else _read(inner[0], path, text)
    if origin is tuple:
        parts = [part for part in text.split(",") if part]
        return tuple(_read(inner[0], path, part) for part in parts)
    if kind is bool and text in ("true", "false"):
        return text == "true"
    if kind is str or origin is Literal:
        return text
    try:
        if kind is float:
            return checks.number_of(text)
        if kind is int:
            return int(text)
    except ValueError:
        pass
    expected = {bool: "true or false", int: "an integer", float: "a number"}
    raise ValueError(f"{path}={text!r}; expected {expected.get(kind, 'another type')}")


def _literal(value: Any) -> Any:
    """A text as JSON has it, or as it stands; lists become tuples."""
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
    return tuple(value) if isinstance(value, list) else value
