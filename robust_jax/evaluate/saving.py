"""What an evaluation leaves behind: record, page, examples and their picture (host).

The library and its command write the same, by these functions.
"""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robust_jax import report as pages
from robust_jax.core import checks, records
from robust_jax.core.metrics import Proportion
from robust_jax.core.records import Record
from robust_jax.evaluate.predictions import predictions
from robust_jax.evaluate.results import HOLDS
from robust_jax.report import PageFigure, table

if TYPE_CHECKING:
    from robust_jax.evaluate.report import Report

COLUMNS = (
    table.Column("model", "model"),
    table.Column("threat", "threat"),
    table.Column("attack", "attack"),
    table.Column("n", "n"),
    table.Column("accuracy", "accuracy [95 %]"),
    table.Column("forwards", "forwards"),
    table.Column("backwards", "backwards"),
    table.Column("seconds", "seconds", table.fixed(1)),
)
_SHOWN = 8  # Examples in the picture.
_BORDER = 1e-6  # By so much pixels may leave [0, 1] and still be drawn.
_TITLE = "Adversarial examples"
_CAPTION = (
    "Clean image, adversarial image and their magnified difference, with the net's "
    "answers and how sure it is of them."
)

Arrays = dict[str, NDArray[Any]]


def save(found: "Report", out: records.PathLike, classes: Any) -> pathlib.Path:
    """See `Report.save`."""
    names = names_of(found, classes)
    record = to_record(found, f"n = {len(found.clean)}", names)
    records.plain(record)  # Refuses what JSON cannot hold before anything is written.
    folder = records.prepare_out_dir(out)
    parts = write_data(found, folder, names)
    pages.write_run(folder, record, parts, columns=COLUMNS)
    return folder


def to_record(found: "Report", of: str, classes: Sequence[str] | None = None) -> Record:
    """The record of an evaluation that Python called.

    Args:
        found: the report.
        of: the examples in a few words.
        classes: their names, if they are known.
    """
    doubt = "" if found.distrust is None else f"{found.distrust} "
    notes = [found.citation(), f"Claims: {found.claims}"]
    notes.append(f"From the call on, {found.start_up()}.")
    flags = () if found.audit is None else found.audit.flags
    notes += [f"Check {flag.number}: {flag.says} {flag.remedy}" for flag in flags]
    if missing := pages.no_figures():
        notes.append(missing)
    seconds = sum(stage.seconds for stage in found.stages)
    if found.seconds is not None:
        seconds = found.seconds + sum(found.earlier)
    return Record(
        schema=records.SCHEMA,
        experiment="evaluate",
        title=f"Robustness of {found.model}",
        summary=(
            f"{doubt}{of}, {found.threat}: clean accuracy {found.clean_accuracy}, "
            f"robust accuracy {found.robust_accuracy}."
        ),
        command="called from Python: robust_jax.evaluate.robustness, see the flags",
        flags=found.flags,
        environment=records.environment(),
        rows=found.rows(),
        series={
            "evaluation": found.to_json(),
            **({} if classes is None else {"classes": list(classes)}),
        },
        notes=notes,
        figures=[],
        seconds=seconds,
    )


def names_of(found: "Report", classes: Any) -> list[str] | None:
    """Names of classes, checked.

    Raises: ValueError: not a text for each class.
    """
    if classes is None:
        return None
    checks.sequence("classes", classes)
    names = [str(name) for name in classes]
    run = found.evaluation
    most = len(names) if run is None else run.examples.logits.shape[1]
    if len(names) != most or not names:
        raise ValueError(
            f"classes of {len(names)} names; expected one for each of the model's "
            f"{most} classes"
        )
    return names


def fitting(found: "Report", classes: Sequence[str]) -> list[str] | None:
    """A data set's names of classes, if the model has as many."""
    logits = found.made_by.examples.logits
    return list(classes) if len(classes) == logits.shape[1] else None


def write_data(
    found: "Report", folder: pathlib.Path, classes: Sequence[str] | None = None
) -> list[PageFigure]:
    """Writes adversarial.npz and, of images, figures/examples.png.

    Returns: the figures of a page.
    """
    arrays = arrays_of(found)
    write_arrays(folder / "adversarial.npz", arrays)
    shown = _inside(found, arrays)
    if shown is None or pages.no_figures():
        return []
    path = folder / "figures" / "examples.png"
    path.parent.mkdir(exist_ok=True)
    pages.figures.adversarial_grid(
        path, *shown, *_answers(arrays, classes), f"{_TITLE}, {found.threat}",
        confidences=tuple(_of_shown(arrays, f"confidence{k}") for k in ("", "_adv")),
    )  # fmt: skip
    return [PageFigure(_TITLE, _CAPTION, path)]


def write_arrays(path: records.PathLike, arrays: Arrays) -> None:
    """Writes arrays to npz, whole or not at all."""
    with records.atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


def arrays_of(found: "Report") -> Arrays:
    """See `Report.arrays`."""
    arrays = {"x_adv": found.x_adv, "winner": found.winner}
    arrays |= {"clean": found.clean, "ids": found.ids}
    arrays |= {  # [stages, N]
        f"useful_{what}": np.stack([getattr(s, what) for s in found.stages])
        for what in ("forwards", "backwards")
        if found.stages
    }
    run = found.evaluation
    if run is None:
        return arrays
    arrays["x"] = run.model.outward(run.examples.images)
    arrays["labels"] = run.examples.labels
    clean, attacked = predictions(run, found.inside)
    arrays |= clean._asdict()
    arrays |= {f"{name}_adv": values for name, values in attacked._asdict().items()}
    return arrays


def to_json(found: "Report") -> dict[str, Any]:
    """See `Report.to_json`."""
    claims, made, run = found.claims, found.compilation, found.evaluation
    return {
        "model": found.model,
        "origin": None if found.origin is None else found.origin.to_json(),
        "threat": found.threat,
        "rows": found.rows(),
        "claims": {
            "summary": str(claims),
            "passed": claims.passed,
            "outside": claims.outside,
            "unconfirmed": claims.unconfirmed,
            "not_finite": claims.not_finite,
        },
        "certified": _certified(found),
        "distrust": found.distrust,
        "citation": found.citation(),
        "unfinished": found.unfinished,
        "retire": None if run is None else run.options.retire,
        "ledger": [s.ledger(found.winner == HOLDS) for s in found.stages],
        "audit": None if found.audit is None else found.audit.to_json(),
        "compilation": None if made is None else made.to_json(),
        "seconds_to_first_step": found.seconds_to_first_step,
        "seconds_of_earlier_sittings": found.earlier,
        "right_share": found.right_share,
        "seed": found.seed,
        "tile": found.tile,
    }


def _certified(found: "Report") -> Proportion | None:
    """How many examples are proved robust, where the caller said which."""
    marks = None if found.evaluation is None else found.evaluation.options.certified
    if marks is None:
        return None
    return Proportion(int((np.asarray(marks) & found.clean).sum()), len(found.clean))


def _shown(arrays: Arrays) -> NDArray[np.int64]:
    """The positions of the first examples that a stage broke."""
    return np.flatnonzero(arrays["winner"] >= 0)[:_SHOWN]


def _of_shown(arrays: Arrays, name: str) -> NDArray[Any]:
    return arrays[name][_shown(arrays)]


def _inside(
    found: "Report", arrays: Arrays
) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Some pairs of images as figures have them; None where there are no images."""
    if found.evaluation is None or not len(_shown(arrays)):
        return None
    inward = found.evaluation.model.inward
    x, x_adv = (inward(_of_shown(arrays, name)) for name in ("x", "x_adv"))
    is_image = x.ndim == 4 and x.shape[-1] in (1, 3)
    low, high = min(x.min(), x_adv.min()), max(x.max(), x_adv.max())
    if not is_image or not (low >= -_BORDER and high <= 1 + _BORDER):
        return None
    return x, x_adv


def _answers(arrays: Arrays, classes: Sequence[str] | None) -> list[list[Any]]:
    """Labels, and what the net says of clean and of adversarial images."""
    some = [_of_shown(arrays, k) for k in ("labels", "predicted", "predicted_adv")]
    if classes is None:
        return [list(numbers) for numbers in some]
    return [[classes[number] for number in numbers] for numbers in some]
