"""Does the audit flag what is overrated, and spare what is honest?

    python -m experiments.zoo --plans=swift --seeds=1
    python -m experiments.zoo --plans=swift,standard --seeds=3
    python -m experiments.zoo --only=distraction --nets=published.py

Fake defences (`models.fakes`, two strengths each) around a net of the digits, and
honest nets of many kinds, are judged by a plan and its audit. What a fake keeps is at
most what the report, transfer from the net without its defence and 1,000 queries of a
search by labels leave together. A fake that is rated 5 points higher than that must be
flagged, a number that is right may be; an honest net must not be.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from experiments import common, recording, zoo_nets
from robust_jax import attacks, evaluate, report, threats
from robust_jax.core import drive, lift
from robust_jax.core.types import Untargeted
from robust_jax.evaluate import plans
from robust_jax.evaluate.claims import predict
from robust_jax.evaluate.hard_label import hard_label
from robust_jax.losses import objectives
from robust_jax.models import fake_catalog

_PLANS = flags.DEFINE_list("plans", ["swift"], "By which plans.")
_SEEDS = flags.DEFINE_integer("seeds", 1, "Evaluations of each.", lower_bound=1)
_COUNT = flags.DEFINE_integer("count", 128, "Test images.", lower_bound=1)
_EPS = flags.DEFINE_float("eps", 0.1, "Radius in Linf.", lower_bound=0.0)
_ONLY = flags.DEFINE_list("only", [], "Names, or their beginnings; default all.")
_NETS = flags.DEFINE_string(
    "nets", None, "Python file that defines nets(count) -> (name, model, images, ...)."
)
_TILE = 64
_OVERRATED = 0.05
_COLUMNS = (
    report.Column("plan", "plan"),
    report.Column("net", "net"),
    report.Column("kind", "kind"),
    report.Column("seed", "seed"),
    report.Column("clean", "clean", report.fixed(3)),
    report.Column("reported", "reported", report.fixed(3)),
    report.Column("kept", "truly at most", report.fixed(3)),
    report.Column("flags", "flags"),
    report.Column("share", "cost of audit", report.fixed(2)),
    report.Column("verdict", "verdict"),
)


class Case(NamedTuple):
    """A net, fake or honest, how it is called, and what it hides."""

    net: zoo_nets.Net
    kind: str  # fake or honest
    takes: str = "example"
    base: Any = None  # the net without its defence


def main(argv: list[str]) -> None:
    """Judges all, prints a row each, writes the record."""
    for plan in _PLANS.value:
        plans.by_name(plan, "linf")
    run = recording.Run("zoo")
    for case in _chosen():
        for plan in _PLANS.value:
            for seed in range(_SEEDS.value):
                row = _judged(case, plan, common.SEED.value + seed)
                run.rows.append(row)
                print(report.format_table([row], _COLUMNS).splitlines()[-1], flush=True)
    summary = _summary(run.rows)
    print(summary)
    run.notes.append(summary)
    run.save("Does the audit see what it should?", summary, _COLUMNS)


def _chosen() -> Iterator[Case]:
    digits = zoo_nets.Digits(_COUNT.value, _EPS.value)
    cases = [lambda: _fakes(digits), lambda: _honest(digits)]
    if _NETS.value is not None:
        own = zoo_nets.of_file(_NETS.value, _COUNT.value)
        cases.append(lambda: (Case(net, "honest") for net in own))
    wanted = tuple(_ONLY.value)
    for some in cases:
        for case in some():
            if not wanted or case.net.name.startswith(wanted):
                yield case


def _fakes(digits: zoo_nets.Digits) -> Iterator[Case]:
    for fake in fake_catalog.list_fakes():
        if fake.training == "k_winners":
            continue  # Needs a net trained behind it, which the tests' zoo has.
        base = digits.net("relu", behind="noise" if fake.training == "noise" else "")
        for strength in fake_catalog.STRENGTHS:
            given = {"images": digits.images, "labels": digits.labels}
            model = fake.make(base, strength, **given)
            net = digits.judged(f"{fake.name}, {strength}", model)
            yield Case(net, "fake", fake.takes, base)


def _honest(digits: zoo_nets.Digits) -> Iterator[Case]:
    return (Case(net, "honest") for net in zoo_nets.honest(digits))


def _judged(case: Case, plan: str, seed: int) -> dict[str, Any]:
    net, threat = case.net, threats.Linf(case.net.eps)
    if case.takes == "example and key":
        plan = "rand"
    row: dict[str, Any] = {
        "plan": plan,
        "net": net.name,
        "kind": case.kind,
        "seed": seed,
    }
    options = {"plan": plan, "takes": case.takes, "seed": seed, "samples": 16}
    try:
        found = evaluate.robustness(
            net.model,
            net.images,
            net.labels,
            threat,
            certified=net.certified,
            **options,
        )
    except ValueError as refusal:  # Before anything is attacked, in a sentence.
        verdict = "refused" if case.kind == "fake" else "ACCUSED"
        return {**row, "verdict": verdict, "says": str(refusal)}
    flags_ = [finding.number for finding in found.audit.flags]
    reported = found.robust_accuracy.value
    row |= {"clean": found.clean_accuracy.value, "reported": reported}
    row |= {"flags": " ".join(map(str, flags_)), "share": found.audit.share}
    row["says"] = [finding.says for finding in found.audit.flags]
    if case.kind == "honest":
        return {**row, "verdict": "ACCUSED" if flags_ else "spared"}
    kept = _kept(case, found, threat)
    over = reported - kept >= _OVERRATED
    verdict = {(1, 1): "flagged", (1, 0): "MISSED", (0, 1): "flagged, though right",
               (0, 0): "right"}[int(over), int(bool(flags_))]  # fmt: skip
    return {**row, "kept": kept, "verdict": verdict}


def _kept(case: Case, found: evaluate.Report, threat: Any) -> float:
    """What a fake keeps at most: of the examples that the plan left."""
    net, left = case.net, np.flatnonzero(found.winner == -1)
    if case.takes != "example" or not len(left):
        return _under_the_base(case, threat)
    x, labels, ids = net.images[left], net.labels[left], found.ids[left]
    holds = np.ones(len(left), bool)
    run: Callable[..., Any]
    for restart, objective in enumerate((objectives.margin, objectives.dlr) * 2):
        attack = drive.auto(attacks.apgd(objective), to_the_end=True)
        run = lift.in_tiles(attack, tile=_TILE)
        keys = lift.item_keys(zlib.crc32(b"zoo"), ids, restart=restart)
        points = np.asarray(run(keys, case.base, threat, x, Untargeted(labels)).x_adv)
        holds &= predict(net.model, points, _TILE).argmax(axis=1) == labels
    run = lift.in_tiles(drive.traced(hard_label(1000)), tile=_TILE)
    result = run(lift.item_keys(0, ids), net.model, threat, x, Untargeted(labels))
    return float((holds & (np.asarray(result.margin) < 0)).sum() / len(net.labels))


def _under_the_base(case: Case, threat: Any) -> float:
    """Of a batch or a random net: what the net without its defence keeps."""
    net = case.net
    found = evaluate.robustness(
        case.base, net.images, net.labels, threat, plan="swift", audit=False
    )
    return found.robust_accuracy.value


def _summary(rows: list[dict[str, Any]]) -> str:
    verdicts = [row["verdict"] for row in rows]
    refused, flagged = (verdicts.count(word) for word in ("refused", "flagged"))
    missed, accused = verdicts.count("MISSED"), verdicts.count("ACCUSED")
    honest = sum(row["kind"] == "honest" for row in rows)
    shares = [row["share"] for row in rows if row.get("share") is not None]
    cost = f"; the audit cost at most {max(shares):.2f} of a plan" if shares else ""
    return (
        f"Overrated fakes flagged: {flagged} of {flagged + missed}, and {refused} "
        f"refused; honest nets accused: {accused} of {honest}{cost}."
    )


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    common.run_main(main)
