"""Every attack of the library, with its paper, what it needs and what it costs."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from robust_jax.attacks.acg import acg
from robust_jax.attacks.alma import alma
from robust_jax.attacks.apgd import apgd
from robust_jax.attacks.apgd_l1 import apgd_l1
from robust_jax.attacks.boundary_attack import boundary_attack
from robust_jax.attacks.brendel_bethge import brendel_bethge
from robust_jax.attacks.carlini_wagner import cw_l2
from robust_jax.attacks.carlini_wagner_l0 import cw_l0
from robust_jax.attacks.carlini_wagner_linf import cw_linf
from robust_jax.attacks.ddn import ddn
from robust_jax.attacks.deepfool import deepfool
from robust_jax.attacks.diverse import odi_pgd
from robust_jax.attacks.ead import ead
from robust_jax.attacks.fab import fab
from robust_jax.attacks.fmn import fmn
from robust_jax.attacks.gama import gama_pgd
from robust_jax.attacks.geoda import geoda
from robust_jax.attacks.greedy import greedy_l0
from robust_jax.attacks.hop_skip_jump import hop_skip_jump
from robust_jax.attacks.jsma import jsma, singles
from robust_jax.attacks.lbfgs import lbfgs
from robust_jax.attacks.multi_targeted import multi_targeted
from robust_jax.attacks.one_pixel import one_pixel
from robust_jax.attacks.pdpgd import pdpgd
from robust_jax.attacks.pgd_l0 import pgd_l0
from robust_jax.attacks.projected import (
    adam_pgd,
    bim,
    fgsm,
    mim,
    nesterov,
    pgd,
    r_fgsm,
)
from robust_jax.attacks.radius import minimal_apgd
from robust_jax.attacks.rays import rays
from robust_jax.attacks.score_based import bandits, nes, spsa
from robust_jax.attacks.sigma_zero import sigma_zero
from robust_jax.attacks.sign_opt import sign_opt
from robust_jax.attacks.simba import simba
from robust_jax.attacks.slide import slide
from robust_jax.attacks.sparse_rs import sparse_rs
from robust_jax.attacks.sparsefool import sparsefool
from robust_jax.attacks.square import square
from robust_jax.attacks.superdeepfool import superdeepfool
from robust_jax.attacks.transfer import (
    di_fgsm,
    ni_fgsm,
    si_ni_fgsm,
    ti_fgsm,
    vmi_fgsm,
    vni_fgsm,
)
from robust_jax.core import checks
from robust_jax.core.types import Attack
from robust_jax.losses import objectives

_ALL = ("linf", "l2", "l1", "l0")
_NO_L0 = ("linf", "l2", "l1")
_CUBE_AND_BALL = ("linf", "l2")
_NEAREST = "minimum norm"


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
        if self.finds != _NEAREST:
            raise ValueError(
                f"{self.name} has a fixed budget; give minimise_radius such an attack"
            )
        return functools.partial(self.make, **_SHORT.get(self.name, {}))

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


_KURAKIN = "Kurakin et al. 2017"
_APGD = "Croce & Hein, ICML 2020 (APGD)"
_APGD_L1 = "Croce & Hein, ICML 2021 (APGD for L1)"
_CW = "Carlini & Wagner, S&P 2017"
_FAB = "Croce & Hein, ICML 2020 (FAB)"
_MADRY = "Madry et al., ICLR 2018"
_BRENDEL = "Brendel et al., ICLR 2018"
_CHEN = "Chen et al., S&P 2020"
_RAHMATI = "Rahmati et al., CVPR 2020"


def _decision_based(
    name: str, make: Callable[..., Attack], paper: str, norms: tuple[str, ...]
) -> Entry:
    """One query a step; the nearest adversarial point counts."""
    return Entry(name, make, paper, norms, (1, 0), finds=_NEAREST, labels_alone=True)


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
    **dict.fromkeys(("spsa", "nes", "bandits"), ("score_based_test",)),
    **dict.fromkeys(("simba", "sparse_rs", "one_pixel"), ("random_search_test",)),
    **dict.fromkeys(
        ("boundary_attack", "hop_skip_jump", "sign_opt", "rays", "geoda"),
        ("decision_test",),
    ),
}

_CATALOG = Catalog(
    (
        Entry("fgsm", fgsm, "Goodfellow et al., ICLR 2015", _ALL),
        Entry("r_fgsm", r_fgsm, "Tramer et al., ICLR 2018", _CUBE_AND_BALL),
        Entry("bim", bim, _KURAKIN, _ALL),
        Entry("pgd", pgd, _MADRY, _ALL),
        Entry(
            "pgd_margin",
            functools.partial(pgd, objective=objectives.margin),
            f"{_MADRY}; Carlini & Wagner 2017",
            _ALL,
        ),
        Entry(
            "pgd_dlr",
            functools.partial(pgd, objective=objectives.dlr),
            f"{_MADRY}; {_APGD}",
            _ALL,
            least_classes=3,
        ),
        Entry("mim", mim, "Dong et al., CVPR 2018", _ALL),
        Entry("nesterov", nesterov, "Lin et al., ICLR 2020 (NI, folded)", _ALL),
        Entry("adam_pgd", adam_pgd, "Uesato et al., ICML 2018", _ALL),
        Entry("apgd_ce", apgd, _APGD, _CUBE_AND_BALL),
        Entry(
            "apgd_dlr",
            functools.partial(apgd, objective=objectives.dlr),
            _APGD,
            _CUBE_AND_BALL,
            least_classes=3,
        ),
        Entry(
            "apgd_t",
            functools.partial(apgd, objective=objectives.dlr),
            _APGD,
            _CUBE_AND_BALL,
            targets=9,
            least_classes=4,
        ),
        Entry("apgd_l1", apgd_l1, _APGD_L1, ("l1",)),
        Entry(
            "apgd_l1_t",
            functools.partial(apgd_l1, objective=objectives.dlr),
            _APGD_L1,
            ("l1",),
            targets=5,
            least_classes=4,
        ),
        Entry(
            "fab", fab, _FAB, _NO_L0, per_step=(2, 9), finds=_NEAREST
        ),  # Backwards: one for each wrong class of ten.
        Entry("fab_t", fab, _FAB, _NO_L0, (2, 1), targets=9, finds=_NEAREST),
        Entry("square", square, "Andriushchenko et al., ECCV 2020", _NO_L0, (1, 0)),
        Entry("acg", acg, "Yamamura et al., ICML 2022", _CUBE_AND_BALL),
        Entry("multi_targeted", multi_targeted, "Gowal et al. 2019", _ALL),
        Entry("odi_pgd", odi_pgd, "Tashiro et al., NeurIPS 2020", _CUBE_AND_BALL),
        Entry("gama_pgd", gama_pgd, "Sriramanan et al., NeurIPS 2020", _CUBE_AND_BALL),
        Entry(
            "deepfool",
            deepfool,
            "Moosavi-Dezfooli et al., CVPR 2016",
            _NO_L0,
            per_step=(1, 9),
            finds=_NEAREST,
        ),  # Backwards: one for each wrong class of ten.
        Entry(
            "superdeepfool",
            superdeepfool,
            "Abdollahpourrostam et al., NeurIPS 2024",
            _NO_L0,
            per_step=(1, 9),
            finds=_NEAREST,
        ),
        Entry("cw_l2", cw_l2, _CW, ("l2",), finds=_NEAREST),
        Entry("cw_linf", cw_linf, _CW, ("linf",), finds=_NEAREST),
        Entry("cw_l0", cw_l0, _CW, ("l0",), finds=_NEAREST),
        Entry("ead", ead, "Chen et al., AAAI 2018", ("l1",), finds=_NEAREST),
        Entry("ddn", ddn, "Rony et al., CVPR 2019", ("l2",), finds=_NEAREST),
        Entry("fmn", fmn, "Pintor et al., NeurIPS 2021", _ALL, finds=_NEAREST),
        Entry(
            "alma",
            alma,
            "Rony et al., ICCV 2021",
            ("l2", "l1"),
            least_classes=3,
            finds=_NEAREST,
        ),
        Entry("pdpgd", pdpgd, "Matyasko & Chau 2021", _ALL, finds=_NEAREST),
        Entry(
            "brendel_bethge",
            brendel_bethge,
            "Brendel et al., NeurIPS 2019",
            _NO_L0,
            finds=_NEAREST,
        ),
        Entry(
            "sigma_zero", sigma_zero, "Cina et al., ICLR 2025", ("l0",), finds=_NEAREST
        ),
        Entry(
            "minimal_apgd",
            minimal_apgd,
            f"{_APGD}; bisection over the radius",
            _CUBE_AND_BALL,
            least_classes=3,
            finds=_NEAREST,
        ),
        Entry("lbfgs", lbfgs, "Szegedy et al., ICLR 2014", ("l2",), finds=_NEAREST),
        Entry(
            "jsma",
            jsma,
            "Papernot et al., EuroS&P 2016",
            ("l0",),
            per_step=(1, 2),
            finds=_NEAREST,
        ),
        Entry(
            "sparsefool",
            sparsefool,
            "Modas et al., CVPR 2019",
            ("l0",),
            per_step=(1, 9),
            finds=_NEAREST,
        ),
        Entry(
            "greedy_l0",
            greedy_l0,
            "as FGA, Hajri et al., ICTAI 2021",
            ("l0",),
            per_step=(21, 1),
            finds=_NEAREST,
        ),
        Entry("slide", slide, "Tramer & Boneh, NeurIPS 2019", ("l1",)),
        Entry("pgd_l0", pgd_l0, "Croce & Hein, ICCV 2019", ("l0",)),
        Entry("di_fgsm", di_fgsm, "Xie et al., CVPR 2019", _CUBE_AND_BALL, (2, 1)),
        Entry("ti_fgsm", ti_fgsm, "Dong et al., CVPR 2019", _CUBE_AND_BALL),
        Entry("ni_fgsm", ni_fgsm, "Lin et al., ICLR 2020", _CUBE_AND_BALL, (2, 1)),
        Entry(
            "si_ni_fgsm", si_ni_fgsm, "Lin et al., ICLR 2020", _CUBE_AND_BALL, (6, 5)
        ),
        Entry("vmi_fgsm", vmi_fgsm, "Wang & He, CVPR 2021", _CUBE_AND_BALL, (21, 21)),
        Entry("vni_fgsm", vni_fgsm, "Wang & He, CVPR 2021", _CUBE_AND_BALL, (22, 21)),
        Entry("spsa", spsa, "Uesato et al., ICML 2018", _CUBE_AND_BALL, (257, 0)),
        Entry("nes", nes, "Ilyas et al., ICML 2018", _CUBE_AND_BALL, (51, 0)),
        Entry("bandits", bandits, "Ilyas et al., ICLR 2019", _CUBE_AND_BALL, (3, 0)),
        Entry("simba", simba, "Guo et al., ICML 2019", _CUBE_AND_BALL, (1, 0)),
        Entry("sparse_rs", sparse_rs, "Croce et al., AAAI 2022", ("l0",), (1, 0)),
        Entry("one_pixel", one_pixel, "Su et al., TEVC 2019", ("l0",), (400, 0)),
        _decision_based("boundary_attack", boundary_attack, _BRENDEL, ("l2",)),
        _decision_based("hop_skip_jump", hop_skip_jump, _CHEN, ("l2", "linf")),
        _decision_based("sign_opt", sign_opt, "Cheng et al., ICLR 2020", ("l2",)),
        _decision_based("rays", rays, "Chen & Gu, KDD 2020", ("linf",)),
        _decision_based("geoda", geoda, _RAHMATI, ("l2", "linf")),
    )
)


def list_attacks() -> Catalog:
    """All attacks, which print as a table; `attacks.list()`."""
    return _CATALOG


def by_name(name: str) -> Entry:
    """The entry of an attack.

    Raises: ValueError: an unknown name; the nearest one is suggested.
    """
    known = {entry.name: entry for entry in _CATALOG}
    checks.known_name("attack", name, known)
    return known[name]
