"""Records of evaluations and other runs, made up, for tests of pages."""

import numpy as np

from robust_jax.core import records
from robust_jax.core.metrics import Proportion

STAGES = ("apgd-ce", "square")


def finding(number, verdict="pass", value=0.5, **changes):
    """A check of an audit."""
    made = {"number": number, "name": f"name {number}", "verdict": verdict}
    made |= {"value": value, "limit": "<= 1", "says": f"says {number}."}
    return {**made, "remedy": f"remedy {number}.", "points": 16, **changes}


def audit(*findings):
    """An audit of these checks."""
    cost = {"forwards": 320, "backwards": 160, "seconds": 1.5, "share": 0.25}
    return {"passed": True, "findings": list(findings), "points": 16, **cost}


def evaluation(left=(90, 60, 50), n=100, model="net", threat="linf eps=0.1", **changes):
    """An evaluation: images left without attack and after each of two stages."""
    common = {"model": model, "threat": threat, "n": n}
    names = ("none", *STAGES, "worst case")
    rows = [
        {**common, "attack": name, "accuracy": Proportion(count, n), "forwards": 1000,
         "backwards": 500, "seconds": None if name == "none" else 2.5}
        for name, count in zip(names, (*left, left[-1]), strict=True)
    ]  # fmt: skip
    cost = {
        f"{kind}_{what}": count
        for kind, count in (("useful", 600), ("spent", 700))
        for what in ("forwards", "backwards")
    }
    made = {"model": model, "threat": threat, "rows": rows, "unfinished": 0}
    made |= {"claims": {"summary": "40 adversarial examples", "passed": True}}
    made |= {"ledger": [{"stage": stage, **cost} for stage in STAGES]}
    made |= {"distrust": None, "citation": f"cite as: {model} {threat}"}
    return {**made, "audit": audit(finding(1), finding(2, "skipped", "NaN")), **changes}


def record(rows=(), series=None, experiment="evaluate", **changes):
    """A record with all keys."""
    made = records.Record(
        schema=records.SCHEMA,
        experiment=experiment,
        title="A title",
        summary="A summary.",
        command="robust-jax evaluate",
        flags={"plan": "swift", "dataset": "digits"},
        environment={
            "jax": "0.0",
            "robust_jax": "0.2.0",
            "date": "2026-11-30T12:34:56",
        },
        rows=list(rows),
        series=series or {},
        notes=["A note."],
        figures=[],
        seconds=12.5,
    )
    return {**made, **changes}


def evaluated(**changes):
    """The record of an evaluation."""
    found = evaluation(**changes)
    return record(found["rows"], {"evaluation": found})


def save(folder, record, winner=None, ids=None):
    """Writes a run; with winners also the file of its images' verdicts."""
    folder.mkdir(parents=True)
    records.write_json(folder / "record.json", record)
    if winner is not None:
        ids = np.arange(len(winner)) if ids is None else ids
        np.savez(folder / "adversarial.npz", ids=ids, winner=winner)
    return folder
