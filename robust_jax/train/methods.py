"""Methods and inner attacks by name: how a recipe becomes an objective."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from robust_jax import attacks, threats
from robust_jax.core import checks
from robust_jax.core.types import Array, Attack, LogitsFn
from robust_jax.models import BatchMode
from robust_jax.train import (
    augment,
    combinators,
    objectives,
    paired,
    perturbations,
    regularised,
    unions,
)
from robust_jax.train.ensemble import ensemble_adversarial
from robust_jax.train.free import free_adversarial
from robust_jax.train.pieces import Mindful, ThreatFn
from robust_jax.train.pool import pooled
from robust_jax.train.settings import Ball, Inner, Method
from robust_jax.train.state import ApplyFn, Objective

_LOSS = ("beta", "gamma", "weight", "temperature", "smoothing")
_POOL = ("size", "share", "replaced", "taken")


class Entry(NamedTuple):
    """A method: how its objective is built, and the attack of its authors."""

    build: Callable[..., Objective | Mindful]
    attack: str = "pgd"


def _average(
    apply_fn: ApplyFn, pairs: Any, attack_mode: BatchMode, mode: BatchMode
) -> Objective:
    modes: dict[str, Any] = {"attack_mode": attack_mode, "mode": mode}
    parts = [objectives.adversarial(apply_fn, *pair, **modes) for pair in pairs]
    return combinators.average_of(*parts)


class Setting(NamedTuple):
    """What a method may need beside its numbers."""

    apply_fn: ApplyFn
    balls: tuple[Ball, ...]  # the first one is the recipe's own
    inner: Inner
    growth_steps: float  # over which radii grow
    batch_size: int  # B
    shape: tuple[int, ...]  # *S of one image
    augment_fn: augment.Augment | None = None
    teachers: tuple[LogitsFn, ...] = ()


ATTACKS: dict[str, Callable[[int, float], Attack]] = {
    "fgsm": lambda steps, size: attacks.fgsm(),
    "fgsm_rs": lambda steps, size: perturbations.fgsm_rs(size),
    "pgd": attacks.pgd,
    "pgd_kl": perturbations.pgd_kl,
    "pgd_near": perturbations.pgd_near,
    "pgd_squared": perturbations.pgd_squared,
    "n_fgsm": lambda steps, size: perturbations.n_fgsm(),
}
METHODS: dict[str, Entry] = {
    "standard": Entry(objectives.standard),
    "adversarial": Entry(objectives.adversarial),
    "trades": Entry(paired.trades, "pgd_kl"),
    "mart": Entry(paired.mart, "pgd_near"),
    "score": Entry(paired.score, "pgd_squared"),
    "logit_pairing": Entry(paired.logit_pairing),
    "grad_align": Entry(regularised.grad_align, "fgsm"),
    "vat": Entry(regularised.vat),
    "helper_based": Entry(regularised.helper_based, "pgd_kl"),
    "consistency": Entry(regularised.consistency),
    "worst_of": Entry(unions.worst_of),
    "average": Entry(_average),
    "free": Entry(free_adversarial),
    "pool": Entry(pooled),
    "ensemble": Entry(ensemble_adversarial, "fgsm"),
    "multi_steepest_descent": Entry(unions.multi_steepest_descent),
}


def objective(method: Method, setting: Setting, steps_per_epoch: int) -> Mindful:
    """The objective of a method, with what a recipe puts around it, and its memory.

    Raises: ValueError: a method that misses what it needs.
    """
    built = _built(METHODS[method.name], method, setting)
    base, memory = built if isinstance(built, Mindful) else (built, None)
    if method.clean_share:
        clean = objectives.standard(setting.apply_fn, mode=method.mode)
        base = combinators.mixed(base, clean, method.clean_share)
    if method.awp:
        wait = round(method.awp_after * steps_per_epoch)
        base = combinators.awp(base, method.awp, warm_up_steps=wait)
    base = combinators.sam(base, method.sam) if method.sam else base
    return Mindful(base, memory)


def check(method: Method, inner: Inner) -> None:
    """Raises ValueError for unknown names and for numbers that the method lacks."""
    checks.known_name("method", method.name, METHODS)
    if inner.name:
        checks.known_name("inner attack", inner.name, ATTACKS)
    known = inspect.signature(METHODS[method.name].build).parameters
    for name, value in _numbers(method).items():
        if name not in known:
            numbers = [n for n in (*_LOSS, *_POOL) if n in known]
            has = f"it has {', '.join(numbers)}" if numbers else "it has none"
            raise ValueError(
                f"method.{name}={value:g}; {method.name} has no such number: {has}"
            )


def attack(inner: Inner, default: str = "pgd") -> Attack:
    """The attack inside a training step."""
    return ATTACKS[inner.name or default](inner.steps, inner.relative_step)


def threat_fn(ball: Ball, growth_steps: float = 0.0) -> ThreatFn:
    """Training step -> threat, with the radius that has grown so far."""
    kind = threats.by_name(ball.norm)

    def threat(step: Array) -> Any:
        share = jnp.minimum(1.0, (step + 1) / growth_steps) if growth_steps else 1.0
        return kind(jnp.float32(ball.eps) * share)

    return threat


def _built(entry: Entry, method: Method, setting: Setting) -> Objective | Mindful:
    known = inspect.signature(entry.build).parameters
    found = _context(entry, method, setting)
    arguments = {name: make() for name, make in found.items() if name in known}
    return entry.build(**arguments, **_numbers(method))


def _numbers(method: Method) -> dict[str, Any]:
    given = {name: getattr(method, name) for name in (*_LOSS, *_POOL)}
    return {name: value for name, value in given.items() if value is not None}


def _context(
    entry: Entry, method: Method, setting: Setting
) -> dict[str, Callable[[], Any]]:
    first, inner, growth = setting.balls[0], setting.inner, setting.growth_steps
    thunks: dict[str, Callable[[], Any]] = {
        "apply_fn": lambda: setting.apply_fn,
        "attack": lambda: attack(inner, entry.attack),
        "threat_fn": lambda: threat_fn(first, growth),
        "pairs": lambda: [
            (attack(inner, entry.attack), threat_fn(ball, growth))
            for ball in setting.balls
        ],
        "threats": lambda: [
            (inner.relative_step, threat_fn(ball, growth)) for ball in setting.balls
        ],
        "steps": lambda: inner.steps,
        "eps": lambda: first.eps,
        "augment_fn": lambda: _needed(setting.augment_fn, method, "an augmentation"),
        "helper_fn": lambda: _first(setting.teachers, method),
        "sources": lambda: _needed(setting.teachers or None, method, "teachers"),
        "relative_step": lambda: inner.relative_step,
        "batch_size": lambda: setting.batch_size,
        "shape": lambda: setting.shape,
        "attack_mode": lambda: inner.mode,
        "mode": lambda: method.mode,
    }
    return thunks


def _needed(value: Any, method: Method, what: str) -> Any:
    if value is None:
        raise ValueError(f"method {method.name} needs {what}; the recipe names none")
    return value


def _first(teachers: Sequence[LogitsFn], method: Method) -> LogitsFn:
    return _needed(teachers[0] if teachers else None, method, "a teacher")
