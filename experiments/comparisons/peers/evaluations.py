"""Whole evaluations, ours and AutoAttack's, in turn on one problem."""

import dataclasses
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.comparisons.peers import judging
from experiments.comparisons.peers.libraries import Libraries, LibraryError
from experiments.comparisons.peers.pair import autoattack
from experiments.comparisons.peers.problem import Found, Problem
from robust_jax import evaluate, report
from robust_jax.core import lift
from robust_jax.core.metrics import Proportion
from robust_jax.core.types import Threat

REFERENCE = "AutoAttack"


@dataclasses.dataclass(frozen=True)
class Match:
    """Our plans and the reference's standard evaluation, seed after seed.

    Args:
        problem: what is attacked.
        peers: the process of the reference.
        plans: names of ours.
        seeds: of the runs.
        batch: of the reference.
    """

    problem: Problem
    peers: Libraries
    plans: Sequence[str]
    seeds: Sequence[int]
    batch: int

    def rows(self) -> list[dict[str, Any]]:
        """A row per plan of ours, in turn with the reference, and its own row."""
        first = {plan: self._compiled(plan) for plan in self.plans}
        names = [*self.plans, REFERENCE]
        runs: dict[str, list[Found]] = {name: [] for name in names}
        turns = [(seed, name) for seed in self.seeds for name in names]
        for seed, name in report.progress(turns, "evaluations", "run"):
            run = self._theirs if name == REFERENCE else self._ours
            runs[name].append(run(name, seed))
        judged = {
            name: [judging.judge(self.problem, found.x_adv) for found in done]
            for name, done in runs.items()
        }
        broken = {name: np.stack([b for b, _ in j]) for name, j in judged.items()}
        rows = []
        for name, done in runs.items():
            row: dict[str, Any] = {"evaluation": name, "first": first.get(name)}
            row |= {"outside": sum(outside for _, outside in judged[name])}
            row |= _cells(done, broken[name], self.problem.total)
            row |= _beside(done, runs[REFERENCE])
            if name != REFERENCE:
                ours, theirs = broken[name], broken[REFERENCE]
                row["only_ours"] = int((ours & ~theirs).sum())
                row["only_theirs"] = int((theirs & ~ours).sum())
            rows.append(row)
        return rows

    def _compiled(self, plan: str) -> float:
        """Seconds of a first evaluation, of one tile, which compiles the programs."""
        return self._ours(plan, self.seeds[0], count=lift.TILE).seconds

    def _ours(self, plan: str, seed: int, count: int | None = None) -> Found:
        problem, start = self.problem, time.perf_counter()
        result = evaluate.robustness(
            problem.logits_fn,
            problem.images[:count],
            problem.labels[:count],
            problem.threat,
            plan=plan,
            ids=problem.ids[:count],
            seed=seed,
            audit=False,
        )
        seconds = time.perf_counter() - start
        n, holds = len(result.clean), result.winner == -1
        cost = 1 + sum(s.forwards + 2 * s.backwards for s in result.stages)[holds]
        return Found(
            result.x_adv,
            seconds,
            result.forwards / n,
            result.backwards / n,
            float(cost.mean()) if holds.any() else None,
        )

    def _theirs(self, name: str, seed: int) -> Found:
        threat: Threat = self.problem.threat
        peer = autoattack(name, threat.name, version="standard")
        try:
            return self.peers.run(peer, float(threat.eps), seed, batch=self.batch)
        except LibraryError as error:
            raise ValueError(f"AutoAttack failed: {error}; run `make peers`") from error


def _cells(done: list[Found], broken: np.ndarray, total: int) -> dict[str, Any]:
    counts = (~broken).sum(axis=1).tolist()
    return {
        "mean": 100 * statistics.fmean(counts) / total,
        "robust_accuracy": Proportion(statistics.median_low(counts), total),
        "counts": counts,
        "cost": statistics.fmean(f.forwards + 2 * f.backwards for f in done),
        "robust_cost": [found.robust_cost for found in done],
        "seconds": statistics.median(found.seconds for found in done),
        "all": [found.seconds for found in done],
    }


def _beside(done: list[Found], theirs: list[Found]) -> dict[str, Any]:
    pairs = zip(done, theirs, strict=True)
    ratios = [one.seconds / other.seconds for one, other in pairs]
    return {"ratios": ratios, "ratio": statistics.median(ratios)}
