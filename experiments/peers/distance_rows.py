"""Rows and sentences of `compare_distances`."""

import math
from typing import Any

import numpy as np

from experiments.peers.nearest import Measured
from experiments.peers.problem import Problem
from robust_jax.core.metrics import Proportion


def row(
    attack: str, library: str, found: Measured | str, problem: Problem
) -> dict[str, Any]:
    """The cells of an attack: what it found of the problem's images, or its error."""
    cells: dict[str, Any] = {"attack": attack.rpartition(".")[2], "library": library}
    if isinstance(found, str):
        return cells | {"error": found}
    distances = found.distances
    is_found, median = np.isfinite(distances), float(np.median(distances))
    return cells | {
        "median": median if math.isfinite(median) else None,
        "success": Proportion(int(is_found.sum()), len(problem.images)),
        "forwards": found.forwards,
        "backwards": found.backwards,
        "seconds": found.seconds,
        "near_misses": int(np.isfinite(found.lenient).sum() - is_found.sum()),
        "distances": _finite(distances),
        "lenient": _finite(found.lenient),
    }


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
