"""Minimum-norm attacks of adversarial-library within a budget; see `minimum_norm`."""

import math
from typing import Any

from experiments.comparisons.peers.minimum_norm_settings import CLASSES, FMN_STEPS, peer
from experiments.comparisons.peers.pair import Peer

_ORDERS = {"linf": math.inf, "l2": 2, "l1": 1, "l0": 0}
_FIRST_EPS = {"linf": 0.5, "l2": 5, "l1": 20}  # of the bisection; others go up from it


def adv_lib(norm: str, budget: int) -> list[Peer]:
    """Those that minimise a norm."""
    half, order = budget // 2, _ORDERS[norm]
    found = [
        peer("adv_lib", "fmn", norm=order, steps=half, α_init=step)
        for step in FMN_STEPS[norm]
    ]
    if norm == "l0":
        sparse: dict[str, Any] = {"proximal_operator": 23, "primal_lr": 0.3}
        return [
            *found,
            peer("adv_lib", "pdpgd", norm=order, num_steps=half, **sparse),
            peer("adv_lib", "sigma_zero", num_steps=half),
            peer("adv_lib", "vfga", targeted=False, max_iter=budget // 22),
        ]
    targets = CLASSES - 1
    steps = (budget - 1 - targets) // (3 * targets)
    found += [
        peer("adv_lib", "pdpgd", norm=order, num_steps=half),
        peer(
            "adv_lib", "fab", norm=order, n_iter=max(steps, 1), targeted_restarts=True
        ),
        _minimal_apgd(norm, budget),
    ]
    if norm != "l1":
        found.append(peer("adv_lib", "df", norm=order, steps=budget // CLASSES - 1))
        radius = {"linf": 0.002, "l2": 0.1}[norm]
        steps = (budget - 20) // 3
        found.append(peer("adv_lib", "tr", p=order, iter=steps, eps=radius))
    if norm != "linf":
        for first in {"l2": (1.0,), "l1": (1.0, 5.0)}[norm]:
            given: dict[str, Any] = {"num_steps": half, "init_lr_distance": first}
            found.append(peer("adv_lib", "alma", distance=norm, **given))
    if norm == "linf":
        search: dict[str, Any] = {"initial_const": 0.1, "learning_rate": 0.03}
        search |= {"max_iterations": budget // 30}
        found.append(peer("adv_lib", "carlini_wagner_linf", **search))
    return found + (_in_l2(budget) if norm == "l2" else [])


def _in_l2(budget: int) -> list[Peer]:
    half = budget // 2
    search: dict[str, Any] = {"binary_search_steps": 5, "max_iterations": half // 5}
    search |= {"learning_rate": 0.1, "initial_const": 10.0, "abort_early": False}
    super_steps = (budget - 10) // (4 * CLASSES + 3)
    return [
        peer("adv_lib", "ddn", steps=half, levels=None),
        peer("adv_lib", "pdgd", num_steps=half),
        peer("adv_lib", "sdf", steps=super_steps, df_steps=4),
        peer("adv_lib", "carlini_wagner_l2", **search),
    ]


def _minimal_apgd(norm: str, budget: int) -> Peer:
    searches = 10 if budget >= 500 else 5
    steps = (budget // searches - 4) // 2  # Beside its steps a run costs four.
    search: dict[str, Any] = {"binary_search_steps": searches, "n_iter": steps}
    name, first = "auto_pgd.minimal_apgd", _FIRST_EPS[norm]
    return peer("adv_lib", name, norm=_ORDERS[norm], max_eps=first, **search)
