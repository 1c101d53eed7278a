"""Layer 3: attacks. Factories that return an `Attack` for one example; `list()`."""

from collections.abc import Sequence as _Sequence

from robust_jax.attacks import gradients
from robust_jax.attacks.ascent.acg import acg
from robust_jax.attacks.ascent.apgd import apgd
from robust_jax.attacks.ascent.apgd_l1 import apgd_l1
from robust_jax.attacks.ascent.gama import gama_pgd
from robust_jax.attacks.ascent.multi_targeted import multi_targeted
from robust_jax.attacks.ascent.odi import odi_pgd
from robust_jax.attacks.ascent.pgd import (
    adam_pgd,
    bim,
    fgsm,
    mim,
    nesterov,
    pgd,
    r_fgsm,
)
from robust_jax.attacks.ascent.pgd_l0 import pgd_l0
from robust_jax.attacks.ascent.score_based import bandits, nes, spsa
from robust_jax.attacks.ascent.slide import slide
from robust_jax.attacks.ascent.stadv import stadv
from robust_jax.attacks.ascent.transfer import (
    di_fgsm,
    ni_fgsm,
    si_ni_fgsm,
    ti_fgsm,
    vmi_fgsm,
    vni_fgsm,
)
from robust_jax.attacks.catalog import (
    Catalog,
    Entry,
    found as _found,
    listed as _listed,
)
from robust_jax.attacks.compose import (
    over_targets,
    restarts,
    strongest_of,
    then_if_failed,
)
from robust_jax.attacks.gradients import estimates
from robust_jax.attacks.gradients.defences import expectation, straight_through
from robust_jax.attacks.gradients.ensembles import ensemble
from robust_jax.attacks.gradients.stateful import (
    lookahead,
    nesterov_variance_tuning,
    variance_tuning,
)
from robust_jax.attacks.gradients.transforms import (
    input_diversity,
    scale_invariance,
    translation_invariance,
)
from robust_jax.attacks.nearest.alma import alma
from robust_jax.attacks.nearest.bisection import minimal_apgd, minimise_radius
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
from robust_jax.attacks.queries.exemplars import exemplars
from robust_jax.attacks.queries.geoda import geoda
from robust_jax.attacks.queries.hop_skip_jump import hop_skip_jump
from robust_jax.attacks.queries.one_pixel import one_pixel
from robust_jax.attacks.queries.rays import rays
from robust_jax.attacks.queries.sampling import grid, worst_of
from robust_jax.attacks.queries.sign_opt import sign_opt
from robust_jax.attacks.queries.simba import simba
from robust_jax.attacks.queries.sparse_rs import sparse_rs
from robust_jax.attacks.queries.sparse_rs_patch import sparse_rs_patch
from robust_jax.attacks.queries.square import square
from robust_jax.attacks.skeletons.projected import projected_ascent
from robust_jax.attacks.through import through
from robust_jax.attacks.universal_perturbation import trained_patch, universal

_CATALOG = _listed(globals().values())
_PUBLIC = [name for name, value in globals().items() if callable(value)]
__all__ = ["by_name", "estimates", "gradients", "list"]
__all__ += sorted(name for name in _PUBLIC if not name.startswith("_"))


def __dir__() -> _Sequence[str]:
    return __all__


def list() -> Catalog:
    """All attacks on pixels, which print as a table.

    >>> [entry.name for entry in rj.attacks.list() if entry.norms == ("l0",)]
    ['pgd_l0', 'one_pixel', 'sparse_rs', 'cw_l0', 'greedy_l0', 'jsma', 'sigma_zero',
    'sparsefool']
    """
    return _CATALOG


def by_name(name: str) -> Entry:
    """The entry of an attack.

    Raises: ValueError: an unknown name; the nearest one is suggested.

    >>> rj.attacks.by_name("square").make(queries=1000)
    square(queries=1000, initial_share=0.8, horizon=10000, proposals=1)
    """
    return _found(name, _CATALOG)
