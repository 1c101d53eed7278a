"""What does one attack do to a model, at one radius or along a curve of them?

    robust-jax attack --checkpoint=out/train/model.safetensors \
        --attack=pgd --norm=linf --radii=0,0.05,0.1,0.15,0.2
    robust-jax attack --compare=nearest,ddn,fmn --norm=l2 --count=200

The first prints robust accuracy at each radius, by one compiled program. The second
asks how small a perturbation suffices: minimum-norm attacks by the median of their
distances, the area under robust accuracy against the radius, and their optimality.
"""

import inspect
import time
from typing import Any

import numpy as np
from absl import flags

from robust_jax import attacks, evaluate, report, threats
from robust_jax.commands.shared import (
    common,
    distance_plans,
    distances,
    numbers,
    recording,
    subjects,
)
from robust_jax.core import array_checks, boxes
from robust_jax.losses import objectives

for _module in (common, subjects):
    flags.adopt_module_key_flags(_module)

_OBJECTIVES = {
    "cross_entropy": objectives.cross_entropy,
    "margin": objectives.margin,
    "dlr": objectives.dlr,
}

_COUNT = flags.DEFINE_integer("count", None, "The first so many test images.")
_ATTACK = flags.DEFINE_string("attack", "pgd", "As robust-jax list-attacks prints it.")
_OBJECTIVE = flags.DEFINE_enum(
    "objective", None, list(_OBJECTIVES), "What to climb; default: the attack's."
)
_NORM = flags.DEFINE_string("norm", "linf", "Of the threat: linf, l2, l1, l0 or patch.")
_RADII = flags.DEFINE_list("radii", ["0.1"], "In pixel units of [0, 1]; or counts.")
_STEPS = flags.DEFINE_integer("steps", None, "Moves; default: the attack's.")
_RELATIVE_STEP = numbers.DEFINE_number(
    "relative_step", None, "Step size as a multiple of eps; default: the attack's."
)
_COMPARE = flags.DEFINE_list(
    "compare", None, "Minimum-norm attacks, nearest, or all; in place of --attack."
)
_PRESET = flags.DEFINE_enum(
    "preset",
    "short",
    distance_plans.PRESETS,
    "Up to 1,000 calls per example, or the paper's.",
)

_COLUMNS = (
    report.Column("attack", "attack"),
    report.Column("norm", "norm"),
    report.Column("eps", "eps"),
    report.Column("n", "n"),
    report.Column("accuracy", "robust accuracy [95 %]"),
)


def main(argv: list[str]) -> None:
    """Attacks at every radius, prints the table, draws the curve."""
    if _COMPARE.value is not None:
        how = (_PRESET.value, _NORM.value)
        distance_plans.named(how[1], _COMPARE.value, how[0])  # Bad names.
        subject = subjects.given(count=_COUNT.value)
        run = recording.Run("attack")
        return distances.compare(run, _COMPARE.value, *how, subject)
    kind, attack, radii = threats.by_name(_NORM.value), _attack(), _radii()
    threat, subject = kind(float(radii.max())), subjects.given(count=_COUNT.value)
    data = subject.data
    boxes.check(threat, data.images.shape)
    run = recording.Run("attack")
    start = time.perf_counter()
    with common.counted(len(radii) * len(data), _ATTACK.value, "pair") as bar:
        curve = evaluate.curve(
            subject.model,
            data.pixels(),
            data.labels,
            threat,
            radii,
            attack,
            ids=data.ids,
            seed=common.SEED.value,
            on_items=bar.update,
        )
    seconds = time.perf_counter() - start
    for eps, accuracy in zip(radii, curve.accuracies, strict=True):
        row = {"attack": _ATTACK.value, "norm": _NORM.value, "eps": eps}
        run.rows.append({**row, "n": len(data), "accuracy": accuracy})
    print(report.for_terminal(run.rows, _COLUMNS))
    _save(run, curve, subject, seconds)


def _save(run, curve, subject, seconds):
    calls = f"{curve.forwards:,} forwards, {curve.backwards:,} backwards"
    run.notes.append(f"{calls}, {seconds:.1f} s with compilation; clean errors apart.")
    print(run.notes[-1])
    title = f"{_ATTACK.value} on {subject.name}"
    run.series = {"curve": curve.to_series()}
    subject.note_in(run)
    what = f"{common.described(subject.data)}, n = {len(subject.data)}"
    if run.can_draw():
        path = run.figure("curve", title, f"{what}, 95 % intervals.")
        series = {_ATTACK.value: curve.to_series()}
        report.figures.robustness_curves(path, series, title, f"{_NORM.value} radius")
    worst = min(curve.accuracies, key=lambda p: p.value)
    run.save(title, f"Lowest robust accuracy over the radii: {worst}.", _COLUMNS)


def _attack():
    entry = attacks.by_name(_ATTACK.value)
    if _NORM.value not in entry.norms:
        raise ValueError(
            f"norm={_NORM.value}; {entry.name} is for {', '.join(entry.norms)}; "
            "choose one of them, or another attack"
        )
    given: dict[str, Any] = {
        "steps": _STEPS.value,
        "relative_step": _RELATIVE_STEP.value,
        "objective": _OBJECTIVES.get(_OBJECTIVE.value or ""),
    }
    given = {k: v for k, v in given.items() if v is not None}
    for option in given:
        if option not in inspect.signature(entry.make).parameters:
            raise ValueError(f"--{option} does not apply to {entry.name}; omit it")
    return entry.make(**given)


def _radii():
    radii = np.array(numbers.several("radii", _RADII.value or [""]))
    array_checks.eps(_NORM.value, radii)
    return radii
