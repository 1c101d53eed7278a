"""One judge for all libraries, ours too: who breaks what, and how fast."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.comparisons.peers.libraries import LibraryError
from experiments.comparisons.peers.problem import Found, Problem
from robust_jax.core.metrics import Proportion
from robust_jax.evaluate.claims import confirm

Call = Callable[[int], Found]  # seed -> one run


def judge(problem: Problem, x_adv: np.ndarray) -> tuple[np.ndarray, int]:
    """Which images an attack broke, [N] bool, and how many claims lie outside.

    Raises: ValueError: results of another shape.
    """
    if x_adv.shape != problem.images.shape:
        raise ValueError(
            f"x_adv.shape={x_adv.shape}; expected {problem.images.shape}, as the images"
        )
    claims = (problem.images, x_adv.astype(np.float32), problem.labels)
    checked = confirm(problem.logits_fn, problem.threat, *claims)
    claimed, is_outside = np.ones(len(x_adv), bool), np.zeros(len(x_adv), bool)
    claimed[checked.unconfirmed] = False
    is_outside[checked.outside] = True
    return claimed & ~is_outside, int((claimed & is_outside).sum())


def compare(
    calls: Mapping[str, Call], problem: Problem, seed: int, repetitions: int
) -> dict[str, dict[str, Any]]:
    """Runs the attacks in turn and judges every run.

    Run r draws from seed + r, so that luck does not decide; accuracy and time are
    those of the median run.

    Args:
        calls: attacks by the name of their library, ours first.
        problem: what they attack.
        seed: of the first run.
        repetitions: counted runs of each, after a first call; >= 1.
    Returns: by library the cells of the table; for a library whose attack raised
        `LibraryError` its error alone.
    """
    outcomes: dict[str, dict[str, Any]] = {}
    first: dict[str, float] = {}
    for name, call in calls.items():
        try:
            first[name] = call(seed).seconds
        except LibraryError as error:
            outcomes[name] = {"error": str(error)}
    runs: dict[str, list[Found]] = {name: [] for name in first}
    for r in range(repetitions):
        for name, done in runs.items():
            done.append(calls[name](seed + r))
    ours = None
    for name, done in runs.items():
        judged = [judge(problem, run.x_adv) for run in done]
        broken = np.stack([flags for flags, _ in judged])
        outcomes[name] = {
            **_cells(done, broken, problem),
            "outside": sum(outside for _, outside in judged),
            "first": first[name],
            "only_ours": None if ours is None else int((ours & ~broken).sum()),
            "only_theirs": None if ours is None else int((broken & ~ours).sum()),
        }
        ours = broken if ours is None else ours
    return {name: outcomes[name] for name in calls}


def _cells(runs: list[Found], broken: np.ndarray, problem: Problem) -> dict[str, Any]:
    robust = (~broken).sum(axis=1).tolist()
    return {
        "forwards": statistics.fmean(run.forwards for run in runs),
        "backwards": statistics.fmean(run.backwards for run in runs),
        "robust_accuracy": Proportion(statistics.median_low(robust), problem.total),
        "robust_counts": robust,
        "seconds": statistics.median(run.seconds for run in runs),
        "all": [run.seconds for run in runs],
    }


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the rows say, in sentences: where ours is weaker, and what failed.

    Weaker are we where a library breaks more images that we miss than the other way
    round; beyond chance where the difference exceeds twice its standard deviation
    (McNemar's test).
    """
    weaker, failed, compared = [], [], 0
    for row in rows:
        title = f"{row['attack']} of {row['library']}"
        if "error" in row:
            failed.append(f"{title} failed: {row['error']}")
        if row.get("only_theirs") is None:  # Ours, or one that failed.
            continue
        compared += 1
        gap = row["only_theirs"] - row["only_ours"]
        if gap > 0:
            spread = math.sqrt(row["only_theirs"] + row["only_ours"])
            chance = "beyond chance" if gap > 2 * spread else "within chance"
            weaker.append(f"{title} by {gap} ({chance})")
    sentence = f"No weaker in {compared - len(weaker)} of {compared} comparisons"
    if weaker:
        sentence += f"; weaker, in images over all runs, than {', '.join(weaker)}"
    return [f"{sentence}.", *failed]
