"""What a record answers: how robust, by how much, and may one believe it."""

import datetime
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from robust_jax.core.metrics import Proportion
from robust_jax.report.site.text import proportion

_CLEAN, _WORST = "none", "worst case"  # Rows of an evaluation.
_INTERVAL = 23  # The check of how wide the interval is: few images are no error.


class Trust(NamedTuple):
    """A verdict on a number, in two words and in a sentence."""

    level: str  # "good", "open", "bad" or "none": its colour
    verdict: str
    sentence: str


class Result(NamedTuple):
    """A number of a run: one model under one threat."""

    model: str
    threat: str
    plan: str
    n: int | None
    clean: Proportion | None
    robust: Proportion | None
    certified: Proportion | None
    trust: Trust
    forwards: float | None
    backwards: float | None
    seconds: float | None


NO_CLAIM = Trust("none", "no claim", "This run makes no claim of robustness.")


def results(record: dict[str, Any]) -> list[Result]:
    """The robust accuracies of a record, one for each model and threat; at least one.

    A run that found none, such as training, has a result without numbers.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in record["rows"]:
        if isinstance(row.get("attack"), str) and "threat" in row:
            key = str(row.get("model", "")), str(row["threat"])
            groups.setdefault(key, []).append(row)
    found = [
        _evaluated(record, model, threat, rows)
        for (model, threat), rows in groups.items()
        if any(row["attack"] == _WORST for row in rows)
    ]
    return found or [_curve(record) or _nothing(record)]


def evaluations(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The evaluations that a record holds, as `Report.to_json` gives them."""
    series = record["series"]
    if isinstance(series.get("evaluation"), dict):
        yield series["evaluation"]
    several = series.get("evaluations", {})
    yield from several.values() if isinstance(several, dict) else several


def data(record: dict[str, Any]) -> str:
    """The name of the data set, as far as the record tells."""
    flags, series = record["flags"], record["series"]
    recipe = series.get("recipe") or (series.get("checkpoint") or {}).get("recipe")
    learnt = recipe.get("dataset") if isinstance(recipe, dict) else None
    given = flags.get("images") or flags.get("dataset") or series.get("data") or learnt
    return "" if given is None else pathlib.PurePath(str(given)).name


def date(record: dict[str, Any]) -> str:
    """Day and minute of the run, in UTC; empty where it is not known."""
    said = record["environment"].get("date")
    try:
        return f"{datetime.datetime.fromisoformat(str(said)):%Y-%m-%d %H:%M}"
    except ValueError:
        return ""


def trust(evaluation: dict[str, Any] | None) -> Trust:
    """The verdict on an evaluation: claims first, then what the audit says."""
    if evaluation is None:
        return Trust(
            "open", "not judged", "The record does not say whether its examples hold."
        )
    claims, audit = evaluation.get("claims") or {}, evaluation.get("audit")
    if not claims.get("passed", False):
        why = f"Adversarial examples do not hold: {claims.get('summary')}."
        return Trust("bad", "refuted", why)
    if evaluation.get("distrust"):
        return Trust("bad", "not to be trusted", str(evaluation["distrust"]))
    if evaluation.get("unfinished"):
        left = f"{evaluation['unfinished']} attacks were not finished."
        return Trust("open", "partial", f"The number can only fall: {left}")
    if audit is None:
        return Trust(
            "open",
            "not audited",
            "Every adversarial example holds, but no audit asked whether the attacks "
            "were strong enough: the number is an upper bound.",
        )
    findings = audit["findings"]
    passed = sum(finding["verdict"] == "pass" for finding in findings)
    says = (
        "Every adversarial example holds, and nothing that the audit checked speaks "
        f"against the number: {passed} of {len(findings)} checks passed."
    )
    flags = [finding for finding in findings if finding["verdict"] == "flag"]
    if flags:  # Only that of the interval: others are grounds for distrust.
        says += f" The interval is wide: {flags[0]['says']}"
    return Trust("good", "holds up", says)


def _evaluated(
    record: dict[str, Any], model: str, threat: str, rows: list[dict[str, Any]]
) -> Result:
    by_attack = {row["attack"]: row for row in rows}
    worst, clean = by_attack[_WORST], by_attack.get(_CLEAN) or {}
    told = next(
        (
            e
            for e in evaluations(record)
            if (e.get("model"), e.get("threat")) == (model, threat)
        ),
        None,
    )
    plan = record["flags"].get("plan")
    stages = [a for a in by_attack if a not in (_CLEAN, _WORST, "audit")]
    return Result(
        model,
        threat,
        str(plan) if plan else f"{len(stages)} attacks",
        worst.get("n"),
        proportion(clean.get("accuracy")),
        proportion(worst.get("accuracy")),
        proportion((told or {}).get("certified")),
        trust(told),
        worst.get("forwards"),
        worst.get("backwards"),
        record["seconds"],
    )


def _curve(record: dict[str, Any]) -> Result | None:
    """Of one attack at several radii: the largest."""
    rows = [row for row in record["rows"] if {"attack", "eps"} <= row.keys()]
    if not rows or proportion(rows[-1].get("accuracy")) is None:
        return None
    last = max(rows, key=lambda row: float(row["eps"]))
    clean: dict[str, Any] = next((row for row in rows if row["eps"] == 0), {})
    weak = "One attack alone was run: the number is an upper bound."
    return Result(
        model(record),
        f"{last.get('norm', '')} eps={last['eps']:g}".strip(),
        str(last["attack"]),
        last.get("n"),
        proportion(clean.get("accuracy")),
        proportion(last["accuracy"]),
        None,
        Trust("open", "one attack", weak),
        None,
        None,
        record["seconds"],
    )


def _nothing(record: dict[str, Any]) -> Result:
    n = record["rows"][0].get("n") if record["rows"] else None
    given = None, proportion(record["series"].get("clean")), None, None
    plan = str(record["flags"].get("recipe") or "")
    n = n if isinstance(n, int) else None
    return Result(
        model(record), "", plan, n, *given[1:], NO_CLAIM, None, None, record["seconds"]
    )


def model(record: dict[str, Any]) -> str:
    """The model's name, as far as the record tells."""
    models = record["series"].get("models")
    if isinstance(models, list) and models and isinstance(models[0], dict):
        return str(models[0].get("name", ""))
    named = (row.get("model") for row in record["rows"])
    flags = record["flags"]
    return str(next((m for m in named if m), None) or flags.get("model") or "")
