"""What the catalog says of an attack: its paper, what it needs and what it costs."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from robust_jax.attacks.nearest.jsma import singles
from robust_jax.core.types import Attack

NEAREST = "minimum norm"

SHORT_BUDGET = 1000  # Forwards and backwards for an example of ten classes.
# Those of cw_l2 and ead were chosen on the validation digits for the least median
# distance of three nets, those of jsma and sparsefool likewise, of two.
_SHORT: dict[str, dict[str, Any]] = {
    "ddn": {"steps": 498},
    "fmn": {"steps": 498},
    "alma": {"steps": 498},
    "lbfgs": {"steps": 499},
    "pdpgd": {"steps": 498},
    "brendel_bethge": {"steps": 498},
    "sigma_zero": {"steps": 498},
    "cw_l2": {
        "rounds": 5,
        "iterations": 99,
        "step_size": 0.05,
        "first_const": 1.0,
        "abort_early": False,
        "slack": 0.1,
    },
    "cw_linf": {
        "iterations": 17,
        "step_size": 0.05,
        "first_const": 0.3,
        "least_bound": 0.01,
        "decrease": 0.8,
        "slack": 0.1,
    },
    "cw_l0": {
        "steps": 498,
        "iterations": 30,
        "step_size": 0.1,
        "first_const": 1.0,
        "slack": 0.1,
    },
    "ead": {
        "rounds": 5,
        "iterations": 99,
        "step_size": 0.001,
        "first_const": 1.0,
        "beta": 0.01,
        "abort_early": False,
    },
    "fab": {"steps": 90},
    "fab_t": {"steps": 110},
    "minimal_apgd": {"steps": 40, "rounds": 12},
    "superdeepfool": {"steps": 88},
    "sparsefool": {"steps": 98, "past": 1.0},
    "jsma": {"steps": 331, "changes": (1.0, -1.0), "choose": singles},
    "boundary_attack": {"queries": 999},
    "hop_skip_jump": {"queries": 999},
    "sign_opt": {"queries": 999},
    "rays": {"queries": 999},
    "geoda": {"queries": 999},
}
_SHORT_TARGETS = 3  # Better few targets and more steps than many and few.


_TESTS = {
    **dict.fromkeys(("fgsm", "r_fgsm", "bim", "mim"), ("projected_test",)),
    **dict.fromkeys(("nesterov", "adam_pgd"), ("projected_test",)),
    "pgd": ("projected_test", "compose_test"),
    "pgd_margin": ("projected_test", "exact_optimum_test"),
    **dict.fromkeys(("apgd_ce", "acg"), ("apgd_test", "exact_optimum_test")),
    **dict.fromkeys(("apgd_dlr", "apgd_t"), ("apgd_test",)),
    "apgd_l1": ("apgd_l1_test", "exact_optimum_test"),
    "apgd_l1_t": ("apgd_l1_test",),
    "fab": ("fab_test", "exact_optimum_test"),
    "fab_t": ("fab_test",),
    "square": ("square_test", "exact_optimum_test"),
    "multi_targeted": ("multi_targeted_test", "exact_optimum_test"),
    "odi_pgd": ("diverse_test", "exact_optimum_test"),
    "gama_pgd": ("gama_test", "exact_optimum_test"),
    **dict.fromkeys(("slide", "pgd_l0"), ("sparse_test",)),
    **dict.fromkeys(("ddn", "fmn"), ("minimum_norm_test", "exact_optimum_test")),
    "deepfool": ("deepfool_test", "minimum_norm_test", "exact_optimum_test"),
    "jsma": ("jsma_test", "minimum_norm_test"),
    "sparsefool": ("sparsefool_test", "minimum_norm_test"),
    "superdeepfool": (
        "superdeepfool_test",
        "minimum_norm_test",
        "exact_optimum_test",
    ),
    **dict.fromkeys(("alma", "pdpgd"), ("minimum_norm_test", "exact_optimum_test")),
    "brendel_bethge": (
        "brendel_bethge_test",
        "minimum_norm_test",
        "exact_optimum_test",
    ),
    "greedy_l0": ("greedy_test", "minimum_norm_test"),
    "sigma_zero": ("minimum_norm_test",),
    "minimal_apgd": ("minimum_norm_test", "exact_optimum_test"),
    "lbfgs": ("lbfgs_test", "minimum_norm_test", "exact_optimum_test"),
    "cw_l2": ("carlini_wagner_test", "minimum_norm_test", "exact_optimum_test"),
    "cw_linf": (
        "carlini_wagner_linf_l0_test",
        "minimum_norm_test",
        "exact_optimum_test",
    ),
    "cw_l0": ("carlini_wagner_linf_l0_test", "minimum_norm_test"),
    "ead": ("ead_test", "minimum_norm_test", "exact_optimum_test"),
    **dict.fromkeys(("di_fgsm", "ti_fgsm"), ("transfer_test",)),
    **dict.fromkeys(("ni_fgsm", "si_ni_fgsm"), ("transfer_test",)),
    **dict.fromkeys(("vmi_fgsm", "vni_fgsm"), ("transfer_test",)),
    "worst_of": ("through_test",),
    **dict.fromkeys(("spsa", "nes", "bandits"), ("score_based_test",)),
    "sparse_rs_patch": ("through_test",),
    **dict.fromkeys(("simba", "sparse_rs", "one_pixel"), ("random_search_test",)),
    **dict.fromkeys(
        ("boundary_attack", "hop_skip_jump", "sign_opt", "rays", "geoda"),
        ("decision_test",),
    ),
}


class Entry(NamedTuple):
    """What the catalog says of an attack."""

    name: str
    make: Callable[..., Attack]  # with the paper's defaults
    paper: str
    norms: tuple[str, ...]
    per_step: tuple[int, int] = (1, 1)  # forwards and backwards of one step
    targets: int = 1  # times that it is run, each towards another class
    least_classes: int = 2
    finds: str = "fixed budget"  # or "minimum norm": eps is a cap then
    labels_alone: bool = False  # decision-based

    @property
    def short(self) -> functools.partial[Attack]:
        """Settings within `SHORT_BUDGET`, all targets together; of minimum norm.

        Raises: ValueError: an attack with a fixed budget.
        """
        if self.finds != NEAREST:
            raise ValueError(
                f"{self.name} has a fixed budget; give minimise_radius such an attack"
            )
        return functools.partial(self.make, **_SHORT.get(self.name, {}))

    def of_queries(self, queries: int) -> Attack:
        """With as many evaluations as fit in a budget, that of the clean input aside.

        Other settings are the paper's. Args: queries: >= 2 steps' worth.
        Raises: ValueError: an attack that needs gradients, or too few queries.
        """
        if self.knowledge == "gradients":
            raise ValueError(
                f"attack={self.name} needs gradients; expected one that sees scores or "
                "labels"
            )
        each, parameters = self.per_step[0], inspect.signature(self.make).parameters
        if queries < 2 * each:
            raise ValueError(
                f"queries={queries}; expected at least {2 * each} for {self.name}"
            )
        if "queries" in parameters:  # Square evaluates its start besides.
            extra = self.make(queries=queries).steps - queries
            return self.make(queries=queries - extra)
        if "generations" in parameters:
            return self.make(generations=queries // each)
        return self.make(steps=queries // each - 1)

    @property
    def short_targets(self) -> int:
        """Targets of the settings `short`: the likeliest."""
        return min(self.targets, _SHORT_TARGETS)

    @property
    def tests(self) -> tuple[str, ...]:
        """Modules of tests/attacks that it passes, beside the contract test of all."""
        return _TESTS.get(self.name, ())

    @property
    def knowledge(self) -> str:
        """What the adversary sees of the model: gradients, scores or labels."""
        if self.labels_alone:
            return "labels"
        return "gradients" if self.per_step[1] else "scores"

    @property
    def steps(self) -> int:
        """Calls of `step` in the default budget."""
        return self.make().steps

    @property
    def cost(self) -> tuple[int, int]:
        """Forwards and backwards, by default, for an example that stays robust.

        The clean forward is among them, once. Of Square in Linf it is an upper bound:
        proposals that change nothing are passed over.
        """
        forwards, backwards = self.per_step
        runs = self.targets * self.steps
        return 1 + runs * forwards, runs * backwards


class Catalog(tuple[Entry, ...]):
    """Entries that print as a table."""

    def __repr__(self) -> str:
        titles = ["attack", "norms", "needs", "calls", "forwards", "backwards", "paper"]
        rows = [titles]
        for e in self:
            numbers = [str(n) for n in (e.steps, *e.cost)]
            rows.append([e.name, " ".join(e.norms), e.knowledge, *numbers, e.paper])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = (
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))
            for row in rows
        )
        return "\n".join(line.rstrip() for line in lines)
