"""For `zoo`: what plan and audit say of a net, and whether that is so."""

import zlib
from typing import Any, NamedTuple

import numpy as np

from experiments.selfchecks import zoo_training
from robust_jax import attacks, evaluate, report, threats
from robust_jax.core import drive
from robust_jax.core.types import Threat, Untargeted
from robust_jax.evaluate.batch import run_on
from robust_jax.evaluate.claims import predict
from robust_jax.evaluate.hard_label import hard_label
from robust_jax.losses import objectives

_TILE = 64
_SAMPLES = 16  # Of a random net's verdict.
_OVERRATED = 0.05
COLUMNS = (
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

    net: zoo_training.Net
    kind: str  # fake or honest
    takes: str = "example"
    base: Any = None  # the net without its defence


def judged(case: Case, plan: str, seed: int) -> dict[str, Any]:
    """The row of a net under a plan: flags, and a verdict on the audit."""
    net, threat = case.net, threats.Linf(case.net.eps)
    if case.takes == "example and key":
        plan = "rand"
    row: dict[str, Any] = dict.fromkeys(column.key for column in COLUMNS)
    row |= {"plan": plan, "net": net.name, "kind": case.kind, "seed": seed}
    try:
        found = evaluate.robustness(
            net.model,
            net.images,
            net.labels,
            threat,
            certified=net.certified,
            plan=plan,
            takes=case.takes,
            seed=seed,
            samples=_SAMPLES,
        )
    except ValueError as refusal:  # Before anything is attacked, in a sentence.
        verdict = "refused" if case.kind == "fake" else "ACCUSED"
        return {**row, "verdict": verdict, "says": str(refusal)}
    flags = () if found.audit is None else found.audit.flags
    reported = found.robust_accuracy.value
    row |= {"clean": found.clean_accuracy.value, "reported": reported}
    row |= {"flags": " ".join(str(flag.number) for flag in flags)}
    row |= {"share": found.audit and found.audit.share}
    row["says"] = [flag.says for flag in flags]
    if case.kind == "honest":
        return {**row, "verdict": "ACCUSED" if flags else "spared"}
    kept = _kept(case, found, threat)
    over = reported - kept >= _OVERRATED
    verdict = {(1, 1): "flagged", (1, 0): "MISSED", (0, 1): "flagged, though right",
               (0, 0): "right"}[int(over), int(bool(flags))]  # fmt: skip
    return {**row, "kept": kept, "verdict": verdict}


def _kept(case: Case, found: evaluate.Report, threat: Threat) -> float:
    """What a fake keeps at most: of the examples that the plan left."""
    net, left = case.net, np.flatnonzero(found.winner == -1)
    if case.takes != "example":
        return _under_the_base(case, threat)
    if not len(left):
        return 0.0
    x, labels, ids = net.images[left], net.labels[left], found.ids[left]
    holds = np.ones(len(left), bool)
    for restart, objective in enumerate((objectives.margin, objectives.dlr) * 2):
        made = run_on(
            attacks.apgd(objective), ids, case.base, threat, x, Untargeted(labels),
            seed=zlib.crc32(b"zoo"), restart=restart, to_the_end=True, tile=_TILE,
        )  # fmt: skip
        holds &= (
            predict(net.model, np.asarray(made.x_adv), _TILE).argmax(axis=1) == labels
        )
    given = ids, net.model, threat, x, Untargeted(labels)
    result = run_on(hard_label(1000), *given, tile=_TILE, driver=drive.traced)
    return float((holds & (np.asarray(result.margin) < 0)).sum() / len(net.labels))


def _under_the_base(case: Case, threat: Threat) -> float:
    """Of a batch or a random net: what the net without its defence keeps."""
    net = case.net
    found = evaluate.robustness(
        case.base, net.images, net.labels, threat, plan="swift", audit=False
    )
    return found.robust_accuracy.value
