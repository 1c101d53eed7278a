"""What the figures of a paper draw, out of the records of runs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robust_jax.core import checks
from robust_jax.core.metrics import Proportion
from robust_jax.report import table
from robust_jax.report.gathering import Run
from robust_jax.report.grouping import ASIDE, mean_of

_POINTS = 200  # Radii at which distances are counted.
NORM = "norm"
_NORMS = {"linf": "L∞", "l2": "L2", "l1": "L1", "l0": "L0"}

Found = tuple[str, Any]  # A name within a run, and what it stands for.


class Line(NamedTuple):
    """What is drawn under one name, of one run or the mean of several."""

    name: str
    x: list[Any]
    y: NDArray[np.float64]  # NaN where not measured
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None


def curves(runs: Sequence[Run], names: Sequence[str] | None) -> list[Line]:
    """Robust accuracy against the radius, of curves or of distances."""
    entries = [(run, found) for run in runs for found in _curves_of(run)]
    if not entries:
        _nothing("curve", "curve of accuracies, and no distances", "evaluate.curve")
    return [
        _mean_line(name, group, "eps", ("accuracy", "low", "high"))
        for name, group in _by_name(entries, runs, names).items()
    ]


def distances(runs: Sequence[Run], names: Sequence[str] | None) -> list[Line]:
    """The share of examples that are broken within a distance."""
    entries = [(run, found) for run in runs for found in _distances_of(run)]
    if not entries:
        _nothing("distances", "distances", "evaluate.distances")
    radii = _radii([values for _, (_, values) in entries])
    groups = _by_name(entries, runs, names)
    return [
        Line(name, list(radii), np.mean([_within(v, radii) for v in group], axis=0))
        for name, group in groups.items()
    ]


def stages(runs: Sequence[Run], names: Sequence[str] | None) -> list[Line]:
    """Accuracy without an attack, after each stage, and in the worst case."""
    entries = [(run, found) for run in runs for found in _stages_of(run)]
    if not entries:
        _nothing("stages", "accuracies of stages", "evaluate.robustness")
    lines = []
    for name, group in _by_name(entries, runs, names).items():
        attacks = list(dict.fromkeys(attack for found in group for attack in found))
        cells = [mean_of([f[a] for f in group if a in f]) for a in attacks]
        ends = np.array([(m.mean, m.low, m.high) for m in cells if m is not None])
        lines.append(Line(name, attacks, *ends.astype(float).T))
    return lines


def histories(
    runs: Sequence[Run], names: Sequence[str] | None
) -> dict[str, dict[str, Any]]:
    """Histories of training by name; of several runs the mean of each number."""
    entries = [(run, found) for run in runs for found in _histories_of(run)]
    if not entries:
        _nothing("training", "history of a training", "robust-jax train")
    found = {}
    for name, group in _by_name(entries, runs, names).items():
        keys = [k for k in group[0] if k != "epoch" and all(k in h for h in group)]
        lines = {key: _mean_line(name, group, "epoch", (key,)) for key in keys}
        found[name] = {"epoch": group[0]["epoch"]}
        found[name] |= {key: list(line.y) for key, line in lines.items()}
    return found


def norm_of(runs: Sequence[Run]) -> str:
    """The norm that runs agree on, for the name of an axis."""
    norms = set()
    for run in runs:
        rows, flags = run.record["rows"], run.record["flags"]
        norms |= {row[NORM] for row in rows if isinstance(row.get(NORM), str)}
        norms |= {flags[NORM]} if isinstance(flags.get(NORM), str) else set()
    if len(norms) != 1:
        return ""
    norm = norms.pop()
    return f"{_NORMS.get(norm, norm)} "


def _curves_of(run: Run) -> list[Found]:
    series, rows, found = run.record["series"], run.record["rows"], []
    if _is_curve(series.get("curve")):
        name = rows[0].get("attack") if rows else None
        found.append((str(name or "curve"), series["curve"]))
    for key, some in series.items():
        if key.startswith("curves") and isinstance(some, Mapping):
            of = key.removeprefix("curves").strip("_")
            more = f" ({of})" if of else ""
            found += [(f"{n}{more}", c) for n, c in some.items() if _is_curve(c)]
    if found:
        return found
    return [(name, _curve_of(values)) for name, values in _distances_of(run)]


def _is_curve(value: Any) -> bool:
    return isinstance(value, Mapping) and {"eps", "accuracy"} <= value.keys()


def _curve_of(values: NDArray[np.float64]) -> dict[str, list[float]]:
    radii = _radii([values])
    points = [Proportion(int((values > r).sum()), len(values)) for r in radii]
    return {
        "eps": list(radii),
        "accuracy": [p.value for p in points],
        "low": [p.interval[0] for p in points],
        "high": [p.interval[1] for p in points],
    }


def _distances_of(run: Run) -> list[tuple[str, NDArray[np.float64]]]:
    some = run.record["series"].get("distances")
    if not isinstance(some, Mapping):
        return []
    return [(name, np.array(values, float)) for name, values in some.items() if values]


def _radii(found: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    finite = [values[np.isfinite(values)] for values in found]
    last = max((float(values.max(initial=0.0)) for values in finite), default=0.0)
    return np.linspace(0, last or 1.0, _POINTS)


def _within(values: NDArray[np.float64], radii: NDArray[np.float64]) -> Any:
    return (values[:, None] <= radii).mean(axis=0)


def _stages_of(run: Run) -> list[Found]:
    found: dict[str, dict[str, Any]] = {}
    several = len({row.get("threat") for row in run.record["rows"]}) > 1
    for row in run.record["rows"]:
        if table.is_proportion(row.get("accuracy")) and "attack" in row:
            threat = f", {row.get('threat')}" if several else ""
            name = f"{row.get('model', 'model')}{threat}"
            found.setdefault(name, {})[row["attack"]] = row["accuracy"]
    return [(n, by_attack) for n, by_attack in found.items() if "none" in by_attack]


def _histories_of(run: Run) -> list[Found]:
    series = run.record["series"]
    some = series.get("training")
    found = list(some.items()) if isinstance(some, Mapping) else []
    if "history" in series:
        flags = run.record["flags"]
        found.append((str(flags.get("recipe") or "training"), series["history"]))
    return [(n, h) for n, h in found if isinstance(h, Mapping) and "epoch" in h]


def _by_name(
    entries: Sequence[tuple[Run, Found]],
    runs: Sequence[Run],
    names: Sequence[str] | None,
) -> dict[str, list[Any]]:
    """What was found, by the name that the figure has for it.

    A name is what tells a line from others: its own, the model's, other flags than the
    seed; what differs in nothing of that is of one name.
    """
    if names is not None and len(names) != len(runs):
        raise ValueError(
            f"names of {len(names)} runs; expected one for each of {len(runs)}; equal "
            "names are of runs that differ in their seed"
        )
    told: list[dict[str, Any]] = []
    for run, (name, _) in entries:
        if names is not None:
            place = next(i for i, other in enumerate(runs) if other is run)
            told.append({"run": str(names[place]), "name": name})
        else:
            told.append({"name": name, "model": _model_of(run), **_flags_of(run)})
    keys = _telling(told)
    if names is not None:
        keys = ["run", *(key for key in keys if key != "run")]
    groups: dict[str, list[Any]] = {}
    for parts, (_, (name, value)) in zip(told, entries, strict=True):
        words = [_word(key, parts.get(key)) for key in keys] or [name]
        groups.setdefault(", ".join(words), []).append(value)
    return groups


def _telling(told: Sequence[Mapping[str, Any]]) -> list[str]:
    """The first keys that tell apart whatever all keys do."""
    chosen: list[str] = []
    for key in dict.fromkeys(key for parts in told for key in parts):
        if _kinds(told, [*chosen, key]) > _kinds(told, chosen):
            chosen.append(key)
    return chosen


def _kinds(told: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> int:
    return len({json.dumps([parts.get(key) for key in keys]) for parts in told})


def _word(key: str, value: Any) -> str:
    return str(value) if key in ("model", "name", "run") else f"{key}={value}"


def _model_of(run: Run) -> str | None:
    models = run.record["series"].get("models")
    if isinstance(models, list) and models and isinstance(models[0], Mapping):
        return str(models[0].get("name"))
    return None


def _flags_of(run: Run) -> dict[str, Any]:
    aside = {*ASIDE, "model"}
    return {k: v for k, v in run.record["flags"].items() if k not in aside}


def _mean_line(
    name: str, group: Sequence[Mapping[str, Any]], x: str, keys: Sequence[str]
) -> Line:
    """The mean of the first key; the lowest and highest of the others, if given."""
    places = list(group[0][x])
    for other in group:
        if list(other[x]) != places:
            raise ValueError(
                f"{name!r} has other values of {x} in one run than in another: "
                f"{checks.shown(places)} and {checks.shown(list(other[x]))}; expected "
                "the same; pass names=... to tell the runs apart"
            )

    def rows(key: str) -> NDArray[np.float64]:
        values = [[np.nan if v is None else v for v in one[key]] for one in group]
        return np.array(values, float)

    line = Line(name, places, rows(keys[0]).mean(axis=0))
    if len(keys) == 1 or any(key not in one for one in group for key in keys):
        return line
    return line._replace(low=rows(keys[1]).min(axis=0), high=rows(keys[2]).max(axis=0))


def _nothing(kind: str, what: str, source: str) -> None:
    raise ValueError(
        f"kind={kind!r}: the runs have no {what}; expected records of {source}, or its "
        "results"
    )
