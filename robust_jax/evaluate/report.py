"""What an evaluation found, in the form that people read, save and cite."""

import dataclasses
import pathlib
from typing import Any, Unpack

import numpy as np

from robust_jax.core import records
from robust_jax.core.compilation import Compilation
from robust_jax.core.metrics import wilson
from robust_jax.evaluate import auditing, eight_bit, robustbench, saving
from robust_jax.evaluate.audit import Audit
from robust_jax.evaluate.eight_bit import EightBit
from robust_jax.evaluate.engine.clock import in_sittings
from robust_jax.evaluate.evaluation import Evaluation
from robust_jax.evaluate.failures import Failure, failure
from robust_jax.evaluate.results import Verdicts
from robust_jax.evaluate.robustbench import About
from robust_jax.evaluate.saving import COLUMNS
from robust_jax.report import markup, table

_INTERVAL = 23  # The check of how wide it is.


@dataclasses.dataclass(frozen=True)
class Report(Verdicts):
    """What an evaluation found, its audit, and what it took.

    >>> report.clean, report.winner
    (array([ True, True, True]), array([ 0, -1, 0]))
    >>> report.claims.passed, report.robust_accuracy.value
    (True, 0.333)
    """

    audit: Audit | None = None
    compilation: Compilation | None = None  # from the call to the report
    seconds_to_first_step: float | None = None  # from the call; None without a step
    evaluation: Evaluation | None = None
    seconds: float | None = None  # wall time of the call
    flags: dict[str, Any] = dataclasses.field(default_factory=dict)  # what was asked

    def audit_again(
        self, points: int | None = None, *, surrogate: Any = None, certified: Any = None
    ) -> "Report":
        """The report with a new audit, in which every check looks at so many examples.

        Args:
            points: examples that each check looks at, >= 1, at most as many as are
                right without an attack. None: as `robustness` does by default.
            surrogate: a plain net of one example, such as the net without its defence,
                for transfer; by default that of the evaluation.
            certified: shape [N] bool, examples that are proved robust; by default those
                of the evaluation.
        Raises: ValueError: points below 1; a surrogate of other classes or without a
            gradient; marks of other examples; images or a net of batches that changed
            since; a report that was not made by `robustness`.
        """
        more = {"surrogate": surrogate, "certified": certified}
        return self.audited(auditing.again(self.made_by, self.inside, points, **more))

    @property
    def distrust(self) -> str | None:
        """Why the number is not to be trusted, in one sentence; None if nothing is.

        A wide interval is flagged, but few examples make a number vague, not wrong.
        """
        reasons = []
        if not self.claims.passed:
            reasons.append(f"its adversarial examples ({self.claims})")
        flags = () if self.audit is None else self.audit.flags
        wrong = [flag for flag in flags if flag.number != _INTERVAL]
        reasons += [f"check {flag.number} ({flag.name})" for flag in wrong]
        if not reasons:
            return None
        return f"This number is not to be trusted: see {', '.join(reasons)}."

    def audited(self, audit: Audit) -> "Report":
        """The report with its audit."""
        return dataclasses.replace(self, audit=audit)

    def failures(self) -> list[Failure]:
        """The examples that a stage broke, in the caller's order.

        Raises: ValueError: for a report that was not made by `robustness`.
        """
        run = self.made_by
        return [failure(run, self, int(p)) for p in np.flatnonzero(self.winner >= 0)]

    @property
    def made_by(self) -> Evaluation:
        """The evaluation whose report it is.

        Raises: ValueError: for a report that was not made by `robustness`.
        """
        if self.evaluation is None:
            raise ValueError(
                "evaluation=None; expected a report that `robustness` has just made; "
                "evaluate again, from the journal if there is one"
            )
        return self.evaluation

    @property
    def inside(self) -> "Report":
        """The same with channels-last images, whatever the net takes."""
        return dataclasses.replace(self, x_adv=self.made_by.model.inward(self.x_adv))

    @property
    def passed(self) -> bool:
        """Whether nothing contradicts the numbers: claims, checks, no item undone."""
        audited = self.audit is None or self.audit.passed
        return self.claims.passed and audited and not self.unfinished

    def rows(self) -> list[dict[str, Any]]:
        """One row for the clean model, one per stage, one for the worst case."""
        n = len(self.clean)
        common = {"model": self.model, "threat": self.threat}
        nothing = {"backwards": 0, "seconds": None}
        clean = {"attack": "none", "accuracy": self.clean_accuracy, "forwards": n}
        rows = [{**common, "n": n, **clean, **nothing}]
        for stage in self.stages:
            row = {"attack": stage.name, "n": n, "accuracy": stage.accuracy}
            useful = {"forwards": stage.forwards, "backwards": stage.backwards}
            cost = {what: int(each.sum()) for what, each in useful.items()}
            rows.append({**common, **row, **cost, "seconds": stage.seconds})
        total = {
            "attack": "worst case",
            "n": n,
            "accuracy": self.robust_accuracy,
            "forwards": self.forwards,
            "backwards": self.backwards,
            "seconds": sum(s.seconds for s in self.stages),
        }
        rows.append({**common, **total})
        if self.audit is not None:
            audit = {"attack": "audit", "n": self.audit.points, "accuracy": None}
            audit |= {"forwards": self.audit.forwards, "seconds": self.audit.seconds}
            rows.append({**common, **audit, "backwards": self.audit.backwards})
        return rows

    def __repr__(self) -> str:
        return f"Report({self.citation()})"

    def _repr_html_(self) -> str:
        doubt, audit = self.distrust, self.audit
        lines = [self.citation()] if doubt else []
        lines.append(f"claims: {self.claims}")
        lines += [] if audit is None else [audit.summary()]
        return markup.notebook(doubt or self.citation(), self.rows(), COLUMNS, lines)

    def __str__(self) -> str:
        lines = [] if self.distrust is None else [self.distrust]
        lines += [] if self.origin is None else [f"{self.model}: {self.origin}"]
        lines += [table.for_terminal(self.rows(), COLUMNS), f"claims: {self.claims}"]
        if self.audit is not None:
            lines.append(str(self.audit))
        if self.right_share is not None:
            lines.append(self._verdict())
        return "\n".join([*lines, self.citation()])

    def _verdict(self) -> str:
        shares = np.zeros(0) if self.right_share is None else self.right_share
        intervals = np.array([self._share_interval(share) for share in shares])
        open_ = int(((intervals[:, 0] <= 0.5) & (intervals[:, 1] > 0.5)).sum())
        return (
            f"verdict: majority of {self.samples} fresh answers each; {open_} of "
            f"{len(self.clean)} examples are undecided (1/2 is in the 95 % interval of "
            f"their share of right answers)"
        )

    def _share_interval(self, share: float) -> tuple[float, float]:
        return wilson(round(share * self.samples), self.samples)

    def start_up(self) -> str:
        """One line on what came before and between the steps: tracing, compilation."""
        step, made = self.seconds_to_first_step, self.compilation
        programs = "programs not counted" if made is None else str(made)
        first = "no attack step" if step is None else f"first step after {step:.1f} s"
        return f"{programs}; {first}{in_sittings(self.earlier, self.stages)}"

    def citation(self) -> str:
        """One line that says what the number is, for a paper."""
        robust, n = self.robust_accuracy, len(self.clean)
        attacks = ", ".join(stage.name for stage in self.stages)
        bound = f"robust accuracy is at most {robust} (n = {n}) under {self.threat}"
        if not self.claims.passed:  # Some of what counts as broken may hold.
            bound = (
                f"{robust} (n = {n}) under {self.threat} bounds nothing, for some of "
                "its adversarial examples do not hold"
            )
        if self.unfinished:
            return (
                f"not to be cited: partial, {self.unfinished} attacks were not "
                f"finished; {bound}"
            )
        if self.distrust is not None:
            return (
                f"not to be cited as it stands: {bound}, worst case over {attacks}; "
                f"seed {self.seed}"
            )
        return (
            f"cite as: robust accuracy {robust} (95 % Wilson interval, n = {n}) under "
            f"{self.threat}, worst case over {attacks}; seed {self.seed}"
        )

    def to_json(self) -> dict[str, Any]:
        """What a record keeps of this report: rows and audit, no images."""
        return saving.to_json(self)

    def to_record(self) -> records.Record:
        """The record that `save` writes."""
        return saving.to_record(self, f"n = {len(self.clean)}")

    def arrays(self) -> dict[str, np.ndarray]:
        """What is known of each example, by name.

        x_adv, winner, clean, ids; useful_forwards and useful_backwards [stages, N]. Of
        a report that `robustness` has just made x, the clean images, labels, and of the
        net's answers to both predicted and predicted_adv [N] int, confidence and
        confidence_adv [N] float32, the softmax of the predicted class, margin and
        margin_adv [N] float32, best other logit minus the label's: a fresh look, which
        costs a forward pass of each image that was broken. Of a random net they are of
        its fresh answers: the class of most, its share, and the share of wrong ones
        minus that of right ones.
        """
        return saving.arrays_of(self)

    def write_examples(self, path: records.PathLike) -> None:
        """Writes `arrays` to npz, whole or not at all.

        Guarantees: the same bytes whether the evaluation was interrupted or not. Spent
        cost depends on that: `stages` and the record have it.
        """
        saving.write_arrays(path, self.arrays())

    def write_images(self, out: records.PathLike) -> EightBit:
        """Writes the broken images as PNG, and whether they survive their 8 bits.

        `00012_clean.png` and `00012_adversarial.png` of the example at position 12, and
        verdicts.csv. Values are rounded towards the clean image's, so that no norm
        grows; a threat with `lattice=1/255` finds images that lose nothing.
        Guarantees: a fresh look judges the very values of the files.

        Args:
            out: the folder.
        Returns: which are still adversarial, and in the threat set.
        Raises: ValueError: images that are not of one or three channels in [0, 1]; a
            random net; a bad folder; a report not made by `robustness`.

        >>> print(report.write_images("out/images"))  # doctest: +SKIP
        of 67 adversarial images 66 are adversarial in 8 bits and 67 in the threat set:
        robust accuracy 34.0 % [25.5, 43.7]
        """
        return eight_bit.write_images(self.made_by, self.inside, out)

    def to_robustbench(
        self, out: records.PathLike, *, dataset: str, name: str, **about: Unpack[About]
    ) -> pathlib.Path:
        """Writes a claim for RobustBench: its issue's text, model_info, the images.

        issue.md; NAME.json, in which the accuracy stands as AutoAttack's only if the
        plan is its standard one; adversarial.pt, a float32 tensor [N, C, H, W] in the
        order of the images, clean ones where nothing broke.

        Args:
            out: the folder.
            dataset: "cifar10", "cifar100" or "imagenet".
            name: of the model, such as "Author2026Title".
            about: paper, url, authors, venue, architecture, additional_data,
                checkpoint; what is left out is to be filled in.
        Returns: the folder.
        Raises: ImportError: no PyTorch. ValueError: an unknown data set or field;
            another threat than Linf or L2 of one radius in [0, 1]; a random net; a
            report that is partial, or whose examples do not hold.
        """
        return robustbench.write(self.made_by, self.inside, out, dataset, name, about)

    def save(self, out: records.PathLike, classes: Any = None) -> pathlib.Path:
        """Writes what `robust-jax evaluate` writes: record, page, examples, picture.

        record.json, which `rj.report.read` reads; index.html; adversarial.npz, see
        `arrays`; and of images figures/examples.png.

        Args:
            out: the folder.
            classes: the names of the classes, for those who look at the examples.
        Raises: ValueError: if `out` cannot be written; names that are not one for each
            class.
        """
        return saving.save(self, out, classes)
