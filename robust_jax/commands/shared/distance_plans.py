"""Minimum-norm attacks of the catalog by name, with the settings of a preset."""

from collections.abc import Sequence

from robust_jax import attacks, evaluate
from robust_jax.attacks import Entry
from robust_jax.core import checks
from robust_jax.evaluate import NearestPlan, stages

PRESETS = ("short", "paper")
_DEFAULT = "nearest"


def named(norm: str, names: Sequence[str], preset: str) -> tuple[NearestPlan, ...]:
    """The minimum-norm attacks of a norm with the settings of a preset.

    Args:
        norm: "linf", "l2", "l1" or "l0".
        names: of the catalog, `nearest` for the library's default plan, which has one
            setting; `all` alone for every one.
        preset: one of `PRESETS`.
    Raises: ValueError: a name that is not one of them.
    """
    known = {
        e.name: e
        for e in attacks.list()
        if e.finds == "minimum norm" and norm in e.norms
    }
    chosen = [_DEFAULT, *known] if list(names) == ["all"] else names
    for name in chosen:
        checks.known_name(
            f"minimum-norm attack for {norm}", name, {_DEFAULT: 0, **known}
        )
    return tuple(
        evaluate.nearest(norm) if name == _DEFAULT else _alone(known[name], preset)
        for name in chosen
    )


def settings(plan: NearestPlan, preset: str) -> str:
    """What a row says of a plan's attack, or attacks."""
    if plan.name == _DEFAULT:
        return ", then ".join(stage.name for stage in plan.stages)
    entry = attacks.by_name(plan.name)
    given = entry.short.keywords if preset == "short" else {}
    words = [f"{name}={value}" for name, value in given.items()]
    targets = _targets(entry, preset)
    return ", ".join(words + [f"towards {targets}"] * (targets > 1))


def _alone(entry: Entry, preset: str) -> NearestPlan:
    attack = entry.short() if preset == "short" else entry.make()
    targets = _targets(entry, preset)
    goals: stages.Goals = evaluate.untargeted
    if targets > 1:
        goals = evaluate.likeliest_targets(targets)
    return NearestPlan(entry.name, (evaluate.Stage(entry.name, attack, goals),))


def _targets(entry: Entry, preset: str) -> int:
    return entry.short_targets if preset == "short" else entry.targets
