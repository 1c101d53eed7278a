"""Every attack of the library, with its paper, what it needs and what it costs."""

import functools
from collections.abc import Callable

from robust_jax.attacks.ascent.acg import acg
from robust_jax.attacks.ascent.apgd import apgd
from robust_jax.attacks.ascent.apgd_l1 import apgd_l1
from robust_jax.attacks.ascent.gama import gama_pgd
from robust_jax.attacks.ascent.multi_targeted import multi_targeted
from robust_jax.attacks.ascent.odi import odi_pgd
from robust_jax.attacks.ascent.pgd_l0 import pgd_l0
from robust_jax.attacks.ascent.score_based import bandits, nes, spsa
from robust_jax.attacks.ascent.slide import slide
from robust_jax.attacks.ascent.transfer import (
    di_fgsm,
    ni_fgsm,
    si_ni_fgsm,
    ti_fgsm,
    vmi_fgsm,
    vni_fgsm,
)
from robust_jax.attacks.entry import NEAREST, Catalog, Entry
from robust_jax.attacks.nearest.alma import alma
from robust_jax.attacks.nearest.bisection import minimal_apgd
from robust_jax.attacks.nearest.brendel_bethge import brendel_bethge
from robust_jax.attacks.nearest.carlini_wagner import cw_l2
from robust_jax.attacks.nearest.carlini_wagner_l0 import cw_l0
from robust_jax.attacks.nearest.carlini_wagner_linf import cw_linf
from robust_jax.attacks.nearest.ddn import ddn
from robust_jax.attacks.nearest.deepfool import deepfool
from robust_jax.attacks.nearest.ead import ead
from robust_jax.attacks.nearest.fab import fab
from robust_jax.attacks.nearest.fmn import fmn
from robust_jax.attacks.nearest.greedy import greedy_l0
from robust_jax.attacks.nearest.jsma import jsma
from robust_jax.attacks.nearest.lbfgs import lbfgs
from robust_jax.attacks.nearest.pdpgd import pdpgd
from robust_jax.attacks.nearest.sigma_zero import sigma_zero
from robust_jax.attacks.nearest.sparsefool import sparsefool
from robust_jax.attacks.nearest.superdeepfool import superdeepfool
from robust_jax.attacks.queries.boundary_attack import boundary_attack
from robust_jax.attacks.queries.geoda import geoda
from robust_jax.attacks.queries.hop_skip_jump import hop_skip_jump
from robust_jax.attacks.queries.one_pixel import one_pixel
from robust_jax.attacks.queries.rays import rays
from robust_jax.attacks.queries.sampling import worst_of
from robust_jax.attacks.queries.sign_opt import sign_opt
from robust_jax.attacks.queries.simba import simba
from robust_jax.attacks.queries.sparse_rs import sparse_rs
from robust_jax.attacks.queries.sparse_rs_patch import sparse_rs_patch
from robust_jax.attacks.queries.square import square
from robust_jax.attacks.skeletons.projected import (
    adam_pgd,
    bim,
    fgsm,
    mim,
    nesterov,
    pgd,
    r_fgsm,
)
from robust_jax.core import checks
from robust_jax.core.types import Attack
from robust_jax.losses import objectives

_ALL = ("linf", "l2", "l1", "l0")
_ANY = (*_ALL, "patch")
_NO_L0 = ("linf", "l2", "l1")
_CUBE_AND_BALL = ("linf", "l2")


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
    return Entry(name, make, paper, norms, (1, 0), finds=NEAREST, labels_alone=True)


_CATALOG = Catalog(
    (
        Entry("fgsm", fgsm, "Goodfellow et al., ICLR 2015", _ALL),
        Entry("r_fgsm", r_fgsm, "Tramer et al., ICLR 2018", _CUBE_AND_BALL),
        Entry("bim", bim, _KURAKIN, _ANY),
        Entry("pgd", pgd, _MADRY, _ANY),
        Entry(
            "pgd_margin",
            functools.partial(pgd, objective=objectives.margin),
            f"{_MADRY}; Carlini & Wagner 2017",
            _ANY,
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
            "fab", fab, _FAB, _NO_L0, per_step=(2, 9), finds=NEAREST
        ),  # Backwards: one for each wrong class of ten.
        Entry("fab_t", fab, _FAB, _NO_L0, (2, 1), targets=9, finds=NEAREST),
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
            finds=NEAREST,
        ),  # Backwards: one for each wrong class of ten.
        Entry(
            "superdeepfool",
            superdeepfool,
            "Abdollahpourrostam et al., NeurIPS 2024",
            _NO_L0,
            per_step=(1, 9),
            finds=NEAREST,
        ),
        Entry("cw_l2", cw_l2, _CW, ("l2",), finds=NEAREST),
        Entry("cw_linf", cw_linf, _CW, ("linf",), finds=NEAREST),
        Entry("cw_l0", cw_l0, _CW, ("l0",), finds=NEAREST),
        Entry("ead", ead, "Chen et al., AAAI 2018", ("l1",), finds=NEAREST),
        Entry("ddn", ddn, "Rony et al., CVPR 2019", ("l2",), finds=NEAREST),
        Entry("fmn", fmn, "Pintor et al., NeurIPS 2021", _ALL, finds=NEAREST),
        Entry(
            "alma",
            alma,
            "Rony et al., ICCV 2021",
            ("l2", "l1"),
            least_classes=3,
            finds=NEAREST,
        ),
        Entry("pdpgd", pdpgd, "Matyasko & Chau 2021", _ALL, finds=NEAREST),
        Entry(
            "brendel_bethge",
            brendel_bethge,
            "Brendel et al., NeurIPS 2019",
            _NO_L0,
            finds=NEAREST,
        ),
        Entry(
            "sigma_zero", sigma_zero, "Cina et al., ICLR 2025", ("l0",), finds=NEAREST
        ),
        Entry(
            "minimal_apgd",
            minimal_apgd,
            f"{_APGD}; bisection over the radius",
            _CUBE_AND_BALL,
            least_classes=3,
            finds=NEAREST,
        ),
        Entry("lbfgs", lbfgs, "Szegedy et al., ICLR 2014", ("l2",), finds=NEAREST),
        Entry(
            "jsma",
            jsma,
            "Papernot et al., EuroS&P 2016",
            ("l0",),
            per_step=(1, 2),
            finds=NEAREST,
        ),
        Entry(
            "sparsefool",
            sparsefool,
            "Modas et al., CVPR 2019",
            ("l0",),
            per_step=(1, 9),
            finds=NEAREST,
        ),
        Entry(
            "greedy_l0",
            greedy_l0,
            "as FGA, Hajri et al., ICTAI 2021",
            ("l0",),
            per_step=(21, 1),
            finds=NEAREST,
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
        Entry("worst_of", worst_of, "Engstrom et al., ICML 2019", _ANY, (1, 0)),
        Entry("spsa", spsa, "Uesato et al., ICML 2018", _CUBE_AND_BALL, (257, 0)),
        Entry("nes", nes, "Ilyas et al., ICML 2018", _CUBE_AND_BALL, (51, 0)),
        Entry("bandits", bandits, "Ilyas et al., ICLR 2019", _CUBE_AND_BALL, (3, 0)),
        Entry("simba", simba, "Guo et al., ICML 2019", _CUBE_AND_BALL, (1, 0)),
        Entry("sparse_rs", sparse_rs, "Croce et al., AAAI 2022", ("l0",), (1, 0)),
        Entry(
            "sparse_rs_patch",
            sparse_rs_patch,
            "Croce et al., AAAI 2022",
            ("patch",),
            (1, 0),
        ),
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
