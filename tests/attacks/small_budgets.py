"""Small budgets for the contract's table, by the catalog's names."""

import inspect

# Few steps, for they are unrolled too, that leave each a chance.
_FOUR = {"steps": 4, "relative_step": 0.4}
SMALL = {
    "bim": {"steps": 5},
    "pgd": _FOUR,
    "pgd_margin": _FOUR,
    "pgd_dlr": _FOUR,
    "mim": _FOUR,
    "nesterov": _FOUR,
    "adam_pgd": _FOUR,
    "apgd_ce": {"steps": 4},
    "apgd_dlr": {"steps": 4},
    "apgd_l1": {"steps": 4},
    "fab": {"steps": 5},
    "deepfool": {"steps": 4},
    "jsma": {"steps": 4},
    "sparsefool": {"steps": 6},
    "superdeepfool": {"steps": 4, "search": 2},
    "ddn": {"steps": 6, "first_radius": 0.2, "gamma": 0.2},
    "fmn": {"steps": 5},
    "alma": {"steps": 5, "first_distance": 0.08},
    "brendel_bethge": {"steps": 5, "step_size": 0.2, "last_step": 0.05},
    "pdpgd": {"steps": 5, "step_size": 0.02},
    "sigma_zero": {"steps": 5},
    "minimal_apgd": {"steps": 3, "rounds": 4},
    "lbfgs": {"steps": 6, "penalty": 4.0},
    "cw_l2": {"rounds": 2, "iterations": 4, "step_size": 0.1, "first_const": 1.0},
    "cw_linf": {
        "iterations": 6,
        "step_size": 0.1,
        "first_const": 1.0,
        "largest_const": 2.0,
        "least_bound": 0.05,
        "decrease": 0.05,
    },
    "cw_l0": {"steps": 7, "iterations": 4, "step_size": 0.3, "first_const": 1.0},
    "ead": {"rounds": 2, "iterations": 4, "step_size": 0.05, "first_const": 1.0},
    "greedy_l0": {"steps": 4, "candidates": 3},
    "square": {"queries": 6},
    "acg": {"steps": 4},
    "multi_targeted": {"steps_per_target": 2, "relative_step": 0.3, "targets": 2},
    "odi_pgd": {"steps": 3},
    "gama_pgd": {"steps": 5},
    "slide": _FOUR,
    "pgd_l0": {"steps": 5},
    "di_fgsm": _FOUR,
    "ti_fgsm": {"steps": 5, "relative_step": 0.3, "kernel_size": 3},
    "ni_fgsm": _FOUR,
    "si_ni_fgsm": {"steps": 3, "relative_step": 0.4},
    "vmi_fgsm": {"steps": 3, "relative_step": 0.4, "samples": 2},
    "vni_fgsm": {"steps": 3, "relative_step": 0.4, "samples": 2},
    "spsa": {"steps": 4, "relative_step": 0.4, "samples": 6},
    "nes": {"steps": 4, "relative_step": 0.4, "samples": 6},
    "bandits": {"steps": 6, "relative_step": 0.4, "side": 2},
    "worst_of": {"queries": 6},
    "simba": {"queries": 7},
    "sparse_rs": {"queries": 6},
    "sparse_rs_patch": {"queries": 6},
    "one_pixel": {"generations": 3, "population": 5},
    "boundary_attack": {"queries": 9},
    "sign_opt": {"queries": 9},
    "rays": {"queries": 9},
    "geoda": {"queries": 9},
    "hop_skip_jump": {"queries": 9, "first_probes": 2},
}
# Forwards and backwards of a step where SMALL changes them.
PER_STEP = {
    "vmi_fgsm": (3, 3),
    "vni_fgsm": (4, 3),
    "greedy_l0": (4, 1),
    "spsa": (13, 0),
    "nes": (13, 0),
    "one_pixel": (5, 0),
}


def small(entry):
    """The small budget of an attack: the one above, or a few steps or queries."""
    if entry.name in SMALL:
        return SMALL[entry.name]
    known = inspect.signature(entry.make).parameters
    return {name: 5 for name in ("steps", "queries") if name in known}
