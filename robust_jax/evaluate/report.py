"""What an evaluation found, in the form that people read, save and cite."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from robust_jax.core import records
from robust_jax.core.metrics import Proportion
from robust_jax.evaluate.claims import Claims
from robust_jax.report import table

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


@dataclasses.dataclass(frozen=True)
class StageResult:
    """One stage over all n examples of an evaluation.

    `broken` includes the examples that the model gets wrong without any attack and,
    where stages retire examples, those that an earlier stage broke.
    """

    name: str
    broken: np.ndarray  # [N] bool
    forwards: int  # model evaluations of the attacked examples, useful ones
    backwards: int
    seconds: float  # wall time, compilation included

    @property
    def accuracy(self) -> Proportion:
        """Accuracy after this stage."""
        return Proportion(int((~self.broken).sum()), len(self.broken))


@dataclasses.dataclass(frozen=True)
class Report:
    """Clean accuracy, what each stage left, and the worst case over all stages.

    Arrays are per example in the caller's order. `x_adv` of an example that no stage
    broke is the clean input; `winner` is the stage that broke it (-1 none, -2 the
    model was wrong without an attack).
    """

    model: str
    threat: str
    clean: np.ndarray  # [N] bool: right without an attack
    stages: tuple[StageResult, ...]
    x_adv: np.ndarray  # [N, *S]
    winner: np.ndarray  # [N] int
    ids: np.ndarray  # [N] uint64
    claims: Claims
    seed: int
    tile: int

    @property
    def clean_accuracy(self) -> Proportion:
        """Accuracy without an attack."""
        return Proportion(int(self.clean.sum()), len(self.clean))

    @property
    def robust_accuracy(self) -> Proportion:
        """Worst case: the share that is right without attack and under every stage."""
        return Proportion(int((self.winner == -1).sum()), len(self.winner))

    def rows(self) -> list[dict[str, Any]]:
        """One row for the clean model, one per stage, one for the worst case."""
        n = len(self.clean)
        common = {"model": self.model, "threat": self.threat}
        nothing = {"backwards": 0, "seconds": None}
        clean = {"attack": "none", "accuracy": self.clean_accuracy, "forwards": n}
        rows = [{**common, "n": n, **clean, **nothing}]
        for stage in self.stages:
            row = {"attack": stage.name, "n": n, "accuracy": stage.accuracy}
            cost = {"forwards": stage.forwards, "backwards": stage.backwards}
            rows.append({**common, **row, **cost, "seconds": stage.seconds})
        total = {
            "attack": "worst case",
            "n": n,
            "accuracy": self.robust_accuracy,
            "forwards": n + sum(s.forwards for s in self.stages),
            "backwards": sum(s.backwards for s in self.stages),
            "seconds": sum(s.seconds for s in self.stages),
        }
        return [*rows, {**common, **total}]

    def __str__(self) -> str:
        return "\n".join(
            [
                table.format_table(self.rows(), COLUMNS),
                f"claims: {self.claims}",
                self.citation(),
            ]
        )

    def citation(self) -> str:
        """One line that says what the number is, for a paper."""
        robust, n = self.robust_accuracy, len(self.clean)
        attacks = ", ".join(stage.name for stage in self.stages)
        return (
            f"cite as: robust accuracy {robust} (95 % Wilson interval, n = {n}) under "
            f"{self.threat}, worst case over {attacks}; seed {self.seed}"
        )

    def to_json(self) -> dict[str, Any]:
        """What a record keeps of this report: rows and audit, no images."""
        return {
            "model": self.model,
            "threat": self.threat,
            "rows": self.rows(),
            "claims": {
                "summary": str(self.claims),
                "passed": self.claims.passed,
                "outside": self.claims.outside,
                "unconfirmed": self.claims.unconfirmed,
                "not_finite": self.claims.not_finite,
            },
            "citation": self.citation(),
            "seed": self.seed,
            "tile": self.tile,
        }

    def write_examples(self, path: records.PathLike) -> None:
        """Writes x_adv, winner, clean and ids to an npz file, whole or not at all."""
        arrays = {"x_adv": self.x_adv, "winner": self.winner}
        arrays |= {"clean": self.clean, "ids": self.ids}
        with records.atomic_path(path) as temporary:
            np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]

    def save(self, out: records.PathLike) -> pathlib.Path:
        """Writes record.json and adversarial.npz (x_adv, winner, clean, ids) to `out`.

        Raises: ValueError: if `out` cannot be written.
        """
        folder = records.prepare_out_dir(out)
        self.write_examples(folder / "adversarial.npz")
        environment = {"environment": records.environment()}
        records.write_json(folder / "record.json", {**self.to_json(), **environment})
        return folder
