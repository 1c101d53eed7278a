"""How an evaluation runs: what `robustness` may be told beside what is judged."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import numpy as np

from robust_jax.core import checks, records
from robust_jax.core.records import PathLike
from robust_jax.evaluate.engine import Estimate, Layout
from robust_jax.evaluate.forecast import OnProgress
from robust_jax.evaluate.model import SAMPLES

_BESIDE = ("plan", "takes", "ids", "seed", "audit")  # Arguments of `robustness` itself.


class Options(TypedDict, total=False):
    """The fields of `Run` as keyword arguments."""

    samples: int
    subset: Any
    layout: Layout
    retire: bool
    points: int | None
    surrogate: Any
    certified: Any
    name: str
    journal: PathLike | None
    limit_minutes: float | None
    on_estimate: Callable[[Estimate], None] | None
    on_progress: OnProgress | None
    progress: bool | None


@dataclasses.dataclass(frozen=True)
class Run:
    """How an evaluation runs; `robustness` takes each field by its name.

    Attributes:
        samples: fresh answers of a random net whose majority is its verdict.
        subset: which examples, as NumPy indexes: integers, a mask or a slice.
        layout: of the work on the devices.
        retire: an example that one stage broke is spared by the next ones; if False
            every stage attacks every example that the model gets right.
        points: examples that every check of the audit looks at, whatever that costs.
            None lets the audit spend a quarter of the plan's cost: from 16 examples a
            check to 128, more where a check is undecided; what is too dear is left
            out, and the report says so. Where the plan left an example, five checks of
            the model are asked in any case, which is up to 5,120 forward passes (of a
            random net times `samples`): of a plan that costs less than four times that
            the audit is more than a quarter.
            See `Report.audit_again`.
        surrogate: a plain net of one example, for the audit's transfer attack.
        certified: shape [N] bool, examples that are proved robust, for the audit.
        name: of the model, for the report.
        journal: folder in which finished items are kept (at least every 30 s), and
            from which an interrupted evaluation of the same goes on, to the same
            result but for spent cost and time, which are this session's. It knows the
            evaluation by all that its items depend on, weights included; of a model
            on the host by its name, see `interop.from_host`.
        limit_minutes: of the whole call, compilation included, after which it stops
            with a partial report. Attacks, stages and checks of the audit that were
            not begun are left undone; what was found is still checked by a last look,
            for which time is kept back.
        on_estimate: called before the plan begins with what all will take, which costs
            a few forward passes.
        on_progress: called while programs compile, at every look of the host, and after
            every check of the audit.
        progress: whether a bar shows how far it is, if there is no `on_progress`; by
            default on a terminal.
    Raises: ValueError, TypeError: what can be refused without the images.

    >>> run = rj.evaluate.Run(subset=slice(100), limit_minutes=10.0)
    >>> run.layout.tile, run.retire
    (64, True)
    """

    samples: int = SAMPLES
    subset: Any = None
    layout: Layout = Layout()  # noqa: RUF009  Frozen.
    retire: bool = True
    points: int | None = None
    surrogate: Any = None
    certified: Any = None
    name: str = "model"
    journal: PathLike | None = None
    limit_minutes: float | None = None
    on_estimate: Callable[[Estimate], None] | None = None
    on_progress: OnProgress | None = None
    progress: bool | None = None

    def __post_init__(self) -> None:
        checks.instance("layout", self.layout, Layout, "an evaluate.Layout")
        checks.instance("name", self.name, str, "a text")
        checks.flag("retire", self.retire)
        checks.optional_flag("progress", self.progress)
        for option in ("on_estimate", "on_progress"):
            if getattr(self, option) is not None:
                checks.function(option, getattr(self, option))
        if self.journal is not None:
            records.names_a_folder("journal", self.journal)

    def flags(self) -> dict[str, Any]:
        """What a record keeps: the fields that decide a result, and the name."""
        marks, some = self.certified, self.subset
        return {
            "name": self.name,
            "tile": self.layout.tile,
            "retire": self.retire,
            "points": self.points,
            "samples": self.samples,
            "subset": None if some is None else checks.shown(some),
            "surrogate": None if self.surrogate is None else "given",
            "certified": None if marks is None else f"{int(np.sum(marks))} examples",
            "limit_minutes": self.limit_minutes,
        }

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Run":
        """With the options that a user wrote.

        Raises: ValueError: an unknown one; the nearest one is suggested.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            checks.known_name("option", name, (*known, *_BESIDE))
        return cls(**options)
