"""The image browser of a run's page: what it shows, and tells of each image."""

import math
import pathlib
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from robust_jax.report.site import examples, pictures, results
from robust_jax.report.site.examples import HOLDS, WRONG, Facts

_SMALL = 64  # pixels of the larger side: those of such pictures are seen as squares
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)
# What becomes of an image: code, and the words after a count.
_OUTCOMES = {
    "broken": "that an attack broke",
    "wrong": "that are wrong without an attack",
    "holds": "that hold",
}


def browser(
    record: dict[str, Any], folder: pathlib.Path, limit: int = 200
) -> dict[str, Any] | None:
    """What `_images.html` shows of a run's images; None where there are none.

    Of all images no more than those on the page are kept in memory.

    Args:
        record: of the run.
        folder: of the run, in which its adversarial.npz is.
        limit: images on the page.
    Returns: what the template names; of a file that is damaged, or lacks what is
        needed, `missing` alone, a sentence.
    """
    path = folder / examples.FILE
    if not path.is_file():
        return None
    try:
        lacking = examples.lacking(path)
        if lacking:
            why = f"its {examples.FILE} has no {', '.join(lacking)}"
            return {"missing": f"The images of this run are not shown: {why}."}
        return _shown(record, path, limit)
    except _UNREADABLE as error:
        return {"missing": f"{examples.FILE} of this run cannot be read ({error})."}


def _shown(record: dict[str, Any], path: pathlib.Path, limit: int) -> dict[str, Any]:
    evaluation: dict[str, Any] = next(results.evaluations(record), {})
    facts, shape = examples.facts(path)
    said = (evaluation.get("origin") or {}).get("layout")
    layout = pictures.layout(shape, said)
    if layout is None:
        return {"missing": f"Inputs of shape {shape} are no images to be shown."}
    at = examples.chosen(facts.winner, facts.labels, limit).tolist()
    made = pictures.drawn(examples.pairs(path, at), layout, "report.site")
    names = _Names.of(record, evaluation)
    items = [
        {**_told(facts, i, names), **drawn._asdict()}
        for i, drawn in zip(at, made.drawn, strict=True)
    ]
    # Broken images first, by stage, then those that were wrong, then the others.
    items.sort(key=lambda i: (i["winner"] < 0, i["winner"], i["at"]))
    return {
        "missing": "",
        "n": len(facts.winner),
        "items": items,
        "outcomes": list(_counts(facts, at)),
        "stages": _options(items, "winner", "stage"),
        "classes": _options(items, "label", "truth"),
        "notes": made.notes,
        "is_small": max(made.size) < _SMALL,
        "size": made.size,
    }


class _Names(NamedTuple):
    """Names of classes and stages, as far as the record tells."""

    classes: list[Any]
    stages: list[Any]

    @classmethod
    def of(cls, record: dict[str, Any], evaluation: dict[str, Any]) -> "_Names":
        classes = record["series"].get("classes")
        ledger = evaluation.get("ledger") or []
        stages = [stage.get("stage") for stage in ledger]
        return cls(classes if isinstance(classes, list) else [], stages)

    def class_of(self, number: int) -> str:
        return _at(self.classes, number, str(number))

    def stage(self, winner: int) -> str:
        return _at(self.stages, winner, f"stage {winner}") if winner >= 0 else ""


def _at(names: list[Any], number: int, otherwise: str) -> str:
    is_known = 0 <= number < len(names) and names[number] is not None
    return str(names[number]) if is_known else otherwise


def _told(facts: Facts, i: int, names: _Names) -> dict[str, Any]:
    """Texts and numbers of an image, but for its pictures."""
    winner, label = int(facts.winner[i]), int(facts.labels[i])
    numbers = {
        name: float(getattr(facts, name)[i])
        for name in ("confidence", "confidence_adv", "margin", "margin_adv")
    }
    return {
        "at": i,
        "label": label,
        "truth": names.class_of(label),
        "before": names.class_of(int(facts.predicted[i])),
        "after": names.class_of(int(facts.predicted_adv[i])),
        "is_right_before": int(facts.predicted[i]) == label,
        "is_right_after": int(facts.predicted_adv[i]) == label,
        "winner": winner,
        "stage": names.stage(winner),
        "outcome": _outcome(winner),
        "sort": {k: v if math.isfinite(v) else "" for k, v in numbers.items()},
        "text": {
            k: _number(v, f"{100 * v:.1f} %" if "conf" in k else f"{v:+.3g}")
            for k, v in numbers.items()
        },
    }


def _number(value: float, text: str) -> str:
    return text.replace("-", "−") if math.isfinite(value) else "not finite"


def _outcome(winner: int) -> str:
    return {HOLDS: "holds", WRONG: "wrong"}.get(winner, "broken")


def _counts(facts: Facts, at: list[int]) -> Iterator[dict[str, Any]]:
    """Of each outcome, how many there are on the page and in the run."""
    outcomes = [_outcome(int(winner)) for winner in facts.winner]
    here = [outcomes[i] for i in at]
    for code, words in _OUTCOMES.items():
        total = outcomes.count(code)
        if total:
            shown = here.count(code)
            yield {"code": code, "words": words, "here": shown, "total": total}


def _options(items: list[dict[str, Any]], code: str, name: str) -> list[Any]:
    """Codes and names that occur, for a choice, in the order of the codes."""
    return sorted({item[code]: item[name] for item in items if item[name]}.items())
