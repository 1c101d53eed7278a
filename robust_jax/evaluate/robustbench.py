"""An evaluation as a claim for RobustBench's leaderboards (host)."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np

from robust_jax.core import checks, extras, faces, records
from robust_jax.evaluate import plans
from robust_jax.evaluate.evaluation import Evaluation
from robust_jax.evaluate.results import Verdicts

_NORMS = {"linf": "Linf", "l2": "L2"}  # As RobustBench names them.
_SIZES = {"cifar10": 10_000, "cifar100": 10_000, "imagenet": 5_000}  # Its test sets.
_LEVELS, _HAIR = 255, 1e-3


class About(TypedDict, total=False):
    """What only the author knows of a model; what is left out is asked for."""

    paper: str
    url: str
    authors: str
    venue: str
    architecture: str
    additional_data: bool
    checkpoint: str  # where it and its code are


_ASKED = "(to be filled in)"


def write(
    run: Evaluation,
    found: Verdicts,
    out: records.PathLike,
    dataset: str,
    name: str,
    about: Mapping[str, Any],
) -> pathlib.Path:
    """See `Report.to_robustbench`."""
    checks.known_name("dataset", dataset, _SIZES)
    if not name.replace("_", "").replace("-", "").isalnum():
        raise ValueError(
            f"name={checks.shown(name)}; expected letters, digits, - and _, such as "
            "Author2026Title"
        )
    for field in about:
        checks.known_name("field", field, About.__annotations__)
    _check_holds(found)
    claim = _claim(run, found, dataset, about)
    torch = extras.needed("torch", "torch", "Report.to_robustbench")
    tensor = torch.from_numpy(np.moveaxis(found.x_adv, -1, 1).copy())
    folder = records.prepare_out_dir(out)
    with records.atomic_path(folder / "adversarial.pt") as temporary:
        torch.save(tensor, temporary)
    with records.atomic_path(folder / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(claim, indent=2) + "\n")
    shape = "x".join(map(str, tensor.shape))
    text = _text(run, found, name, claim, about, f"adversarial.pt, float32, {shape}")
    with records.atomic_path(folder / "issue.md") as temporary:
        temporary.write_text(text)
    return folder


def _check_holds(found: Verdicts) -> None:
    """Raises ValueError for an accuracy that is no finding."""
    if found.unfinished:
        raise ValueError(
            f"the report is partial, {found.unfinished} attacks were not finished; "
            "expected a whole one; evaluate without limit_minutes, or go on from the "
            "journal"
        )
    if not found.claims.passed:
        raise ValueError(
            f"the report's adversarial examples do not hold ({found.claims}); expected "
            "such as do"
        )


def _claim(
    run: Evaluation, found: Verdicts, dataset: str, about: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of RobustBench's model_info file."""
    percent = f"{100 * found.robust_accuracy.value:.2f}"
    claim = {
        "link": about.get("url"),
        "name": about.get("paper"),
        "authors": about.get("authors"),
        "additional_data": about.get("additional_data"),
        "number_forward_passes": 1,
        "dataset": dataset,
        "venue": about.get("venue"),
        "architecture": about.get("architecture"),
        "eps": _claimed_threat(run)[1],
        "clean_acc": f"{100 * found.clean_accuracy.value:.2f}",
        "reported": percent,
    }
    return {**claim, "autoattack_acc": percent} if _is_standard(run) else claim


def _text(
    run: Evaluation,
    found: Verdicts,
    name: str,
    claim: Mapping[str, Any],
    about: Mapping[str, Any],
    images: str,
) -> str:
    """The claim as the text of an issue."""
    n, size = len(found.clean), _SIZES[claim["dataset"]]
    of = "" if n == size else f" ({n} of the test set's {size} images)"
    fields = {
        "Paper Title": claim["name"],
        "Paper URL": claim["link"],
        "Paper authors": claim["authors"],
        "Architecture": claim["architecture"],
        "Dataset": claim["dataset"],
        "Threat Model": _claimed_threat(run)[0],
        "eps": claim["eps"],
        "Clean accuracy": f"{claim['clean_acc']} %{of}",
        "Robust accuracy": f"{claim['reported']} %{of}",
        "Additional data": claim["additional_data"],
        "Evaluation method": _method(run, found),
        "Checkpoint and code": about.get("checkpoint"),
        "Adversarial images": images,
    }
    lines = [f"- **{k}**: {_ASKED if v is None else v}" for k, v in fields.items()]
    return "\n".join([f"# Claim for {name}", "", *lines, ""])


def _claimed_threat(run: Evaluation) -> tuple[str, str]:
    """Norm and radius as RobustBench writes them.

    Raises: ValueError: a threat that its leaderboards do not have.
    """
    radii = np.unique(np.asarray(run.threat.eps, np.float64))
    given = faces.given(run.threat)
    plain = {name: np.unique(value).tolist() for name, value in given.items()}
    is_unit = plain.pop("lower") == [0] and plain.pop("upper") == [1]
    is_ball = run.threat.name in _NORMS and len(radii) == 1 and is_unit and not plain
    if not is_ball or run.model.is_random:
        raise ValueError(
            f"threat={checks.shown(run.threat)}; expected Linf or L2 of one radius in "
            "[0, 1], and a net that draws nothing, as RobustBench's leaderboards have"
        )
    eps, steps = float(radii[0]), float(radii[0]) * _LEVELS
    is_step = run.threat.name == "linf" and abs(steps - round(steps)) < _HAIR
    return _NORMS[run.threat.name], f"{round(steps)}/255" if is_step else f"{eps:g}"


def _is_standard(run: Evaluation) -> bool:
    """Whether the stages are those of AutoAttack, with all targets and numbers."""
    return run.plan == plans.standard(run.threat.name, run.examples.logits.shape[1])


def _method(run: Evaluation, found: Verdicts) -> str:
    names = ", ".join(stage.name for stage in found.stages)
    method = "AutoAttack's standard plan" if _is_standard(run) else "the worst case"
    return f"{method} ({names}) by robust_jax, seed {found.seed}"
