"""Rows and sentences of `compare_distances`."""

import math
from typing import Any

import numpy as np

from experiments.comparisons.peers.nearest import Measured
from experiments.comparisons.peers.problem import Problem
from robust_jax import evaluate
from robust_jax.core.metrics import Proportion


def row(
    attack: str, library: str, found: Measured | str, problem: Problem
) -> dict[str, Any]:
    """The cells of an attack: what it found of the problem's images, or its error."""
    cells: dict[str, Any] = {"attack": attack.rpartition(".")[2], "library": library}
    if isinstance(found, str):
        return cells | {"error": found}
    is_found = np.isfinite(found.distances)
    median = float(np.median(found.lenient))
    return cells | {
        "median": median if math.isfinite(median) else None,
        "success": Proportion(int(is_found.sum()), len(problem.images)),
        "forwards": found.forwards,
        "backwards": found.backwards,
        "seconds": found.seconds,
        "near_misses": int(np.isfinite(found.lenient).sum() - is_found.sum()),
        "distances": _finite(found.distances),
        "lenient": _finite(found.lenient),
    }


def rank(rows: list[dict[str, Any]]) -> list[str]:
    """Gives rows their area and optimality, sorts them; a sentence on who is ahead."""
    sizes = {
        str(at): np.array([math.inf if d is None else d for d in row["lenient"]])
        for at, row in enumerate(rows)
        if "error" not in row
    }
    share, up_to = evaluate.optimality(sizes), evaluate.last_radius(sizes)
    for at, size in sizes.items():
        area = float(np.minimum(size, up_to).mean())
        rows[int(at)] |= {"area": area, "optimality": share[at]}
    rows.sort(key=lambda row: -row.get("optimality", -1.0))
    ours = [r for r in rows if r["library"] == "robust_jax" and "error" not in r]
    others = [r for r in rows if r["library"] != "robust_jax" and "error" not in r]
    names = [
        f"{r['attack']} of {r['library']} ({r['optimality']:.4f})"
        for r in (*ours[:1], *others[:1])
    ]
    return [f"Best of each side by optimality: {', '.join(names)}."]


def failures(rows: list[dict[str, Any]]) -> list[str]:
    """A sentence for each error, with the attacks that raised it."""
    raised: dict[str, list[str]] = {}
    for cells in rows:
        if "error" in cells:
            raised.setdefault(cells["error"], []).append(cells["attack"])
    return [f"{', '.join(names)} failed: {error}" for error, names in raised.items()]


def over(rows: list[dict[str, Any]], budget: int) -> list[str]:
    """A sentence on attacks whose cost depends on the image, and was too high here."""
    costs = [(r, r["forwards"] + r["backwards"]) for r in rows if "error" not in r]
    names = [
        f"{r['attack']} of {r['library']} ({cost:.0f})"
        for r, cost in costs
        if cost > budget
    ]
    return [f"Over the budget of {budget}: {', '.join(names)}."] if names else []


def _finite(distances: np.ndarray) -> list[float | None]:
    return [d if math.isfinite(d) else None for d in distances.tolist()]
