"""Minimum-norm attacks of other libraries, each at its best within a budget.

The budget is in forwards and backwards per image. Steps are as many as it allows if
every image needs all of them; attacks that search until they are done, or that stop
early, have settings that kept their mean below 1,000 on the digits and two MNIST nets.
Other settings are the library's, or the best of two to five tried on the digits.

Left out: torchattacks' FAB in L1, which its code cannot run; ART's Boundary-like
attacks, which see no gradients; foolbox's Brendel & Bethge unless numba is installed.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from experiments.peers.pair import NAMES, Peer

LIBRARIES = ("foolbox", "art", "torchattacks", "autoattack", "adv_lib")

_CLASSES = 10
_FAR = 1e6  # FAB keeps what is nearer than its eps.
_ORDERS = {"linf": math.inf, "l2": 2, "l1": 1, "l0": 0}
_FIRST_EPS = {"linf": 0.5, "l2": 5, "l1": 20}  # of the bisection; others go up from it
_START = {  # of Brendel & Bethge; at most 42 forwards
    "attack": "LinearSearchBlendedUniformNoiseAttack",
    "directions": 20,
    "steps": 20,
}
_FMN_STEPS = {  # No step size is best on all nets.
    "linf": (1.0, 30.0),
    "l2": (0.1, 1.0),
    "l1": (0.1, 1.0),
    "l0": (100.0,),
}
_HIDDEN = ("verbose", "norm", "p", "distance", "targeted", "levels")


def of_norm(
    norm: str, budget: int, libraries: tuple[str, ...] = LIBRARIES
) -> tuple[Peer, ...]:
    """The attacks of some libraries that minimise a norm.

    Args:
        norm: "linf", "l2", "l1" or "l0".
        budget: forwards and backwards per image, >= 100.
        libraries: names from `LIBRARIES`.
    """
    found: list[Peer] = []
    for library in libraries:
        found += _LISTS[library](norm, budget)
    return tuple(found)


def runs_with(peer: Peer, versions: Mapping[str, str]) -> bool:
    """Whether the libraries' environment has what an attack needs beside its own."""
    return "BrendelBethge" not in peer.attack or "numba" in versions


def settings(peer: Peer) -> str:
    """The arguments of an attack, in one line."""
    given = peer.arguments(math.inf).items()
    words = [
        f"{name}={value}"
        for name, value in given
        if name not in _HIDDEN and value not in (_FAR, _START)
    ]
    return ", ".join(words + ["towards the runner-up"] * peer.runner_up)


def _foolbox(norm: str, budget: int) -> list[Peer]:
    half = (budget - 2) // 2  # The library judges once more at the end.
    short = {"linf": "LInf", "l0": "L0"}.get(norm) or NAMES[norm]
    long = {"linf": "Linfinity", "l0": "L0"}.get(norm) or NAMES[norm]
    follow: dict[str, Any] = {"steps": max(half - 30, 1), "lr": 0.01}
    found = [
        _peer("foolbox", f"{short}FMNAttack", steps=half, max_stepsize=step)
        for step in _FMN_STEPS[norm]
    ]
    found.append(
        _peer("foolbox", f"{long}BrendelBethgeAttack", **follow, init_attack=_START)
    )
    if norm in ("linf", "l2"):
        steps = (budget - 2) // (2 * (_CLASSES - 1))
        found.append(_peer("foolbox", f"{NAMES[norm]}DeepFoolAttack", steps=steps))
    search: dict[str, Any] = {"binary_search_steps": 5, "initial_const": 1.0}
    search |= {"abort_early": False}
    if norm == "l2":
        found.append(_peer("foolbox", "DDNAttack", steps=half))
        search |= {"initial_const": 10.0, "steps": half // 5, "stepsize": 0.1}
        found.append(_peer("foolbox", "L2CarliniWagnerAttack", **search))
    if norm == "l1":
        search |= {"binary_search_steps": 9, "steps": (budget - 2) // (9 * 3)}
        search |= {"initial_stepsize": 0.01}
        found.append(_peer("foolbox", "EADAttack", **search, decision_rule="L1"))
    return found


def _art(norm: str, budget: int) -> list[Peer]:
    """One image at a time, ART's default: a batch costs a backward per label in it."""
    search: dict[str, Any] = {"initial_const": 1.0, "binary_search_steps": 5}
    if norm == "linf":
        search = {"initial_const": 10.0, "learning_rate": 0.1}
        return [_one_by_one("CarliniLInfMethod", **search, max_iter=budget // 8)]
    if norm == "l2":
        return [
            _one_by_one("CarliniL2Method", **search, max_iter=budget // 50),
            _one_by_one("DeepFool", max_iter=(budget - 12) // (_CLASSES + 2)),
            _one_by_one("NewtonFool", max_iter=(budget - 1) // 3),
        ]
    if norm == "l1":
        search |= {"max_iter": budget // (5 * 6), "learning_rate": 0.03, "beta": 0.01}
        return [_one_by_one("ElasticNet", **search, decision_rule="L1")]
    return [
        _one_by_one(
            "CarliniL0Method", **search, max_iter=budget // 100, learning_rate=0.1
        ),
        _one_by_one("SaliencyMapMethod", True, theta=1.0, gamma=1.0),
    ]


def _torchattacks(norm: str, budget: int) -> list[Peer]:
    found = []
    if norm == "l2":
        steps = (budget - 1) // (_CLASSES + 1)
        found.append(_peer("torchattacks", "CW", c=10, steps=budget // 2, lr=0.05))
        found.append(_peer("torchattacks", "DeepFool", steps=steps))
    if norm in ("linf", "l2"):
        found.append(_fab("torchattacks", "FAB", norm, steps=_fab_steps(budget)))
    if norm == "l0":
        pixels: dict[str, Any] = {
            "theta": 1.0,
            "gamma": 0.2,
        }  # A pair of them costs 12.
        found.append(
            _peer("torchattacks", "SparseFool", steps=max(budget // 420, 1), lam=1)
        )
        found.append(_peer("torchattacks", "JSMA", True, **pixels))
    return found


def _autoattack(norm: str, budget: int) -> list[Peer]:
    if norm == "l0":
        return []
    name = "fab_pt.FABAttack_PT"
    return [_fab("autoattack", name, norm, n_iter=_fab_steps(budget))]


def _adv_lib(norm: str, budget: int) -> list[Peer]:
    half, order = budget // 2, _ORDERS[norm]
    found = [
        _peer("adv_lib", "fmn", norm=order, steps=half, α_init=step)
        for step in _FMN_STEPS[norm]
    ]
    if norm == "l0":
        sparse: dict[str, Any] = {"proximal_operator": 23, "primal_lr": 0.3}
        return [
            *found,
            _peer("adv_lib", "pdpgd", norm=order, num_steps=half, **sparse),
            _peer("adv_lib", "sigma_zero", num_steps=half),
            _peer("adv_lib", "vfga", targeted=False, max_iter=budget // 22),
        ]
    targets = _CLASSES - 1
    steps = (budget - 1 - targets) // (3 * targets)
    found += [
        _peer("adv_lib", "pdpgd", norm=order, num_steps=half),
        _peer(
            "adv_lib", "fab", norm=order, n_iter=max(steps, 1), targeted_restarts=True
        ),
        _minimal_apgd(norm, budget),
    ]
    if norm != "l1":
        found.append(_peer("adv_lib", "df", norm=order, steps=budget // _CLASSES - 1))
        radius = {"linf": 0.002, "l2": 0.1}[norm]
        steps = (budget - 20) // 3
        found.append(_peer("adv_lib", "tr", p=order, iter=steps, eps=radius))
    if norm != "linf":
        for first in {"l2": (1.0,), "l1": (1.0, 5.0)}[norm]:
            given: dict[str, Any] = {"num_steps": half, "init_lr_distance": first}
            found.append(_peer("adv_lib", "alma", distance=norm, **given))
    if norm == "linf":
        search: dict[str, Any] = {"initial_const": 0.1, "learning_rate": 0.03}
        search |= {"max_iterations": budget // 30}
        found.append(_peer("adv_lib", "carlini_wagner_linf", **search))
    return found + (_adv_lib_l2(budget) if norm == "l2" else [])


def _adv_lib_l2(budget: int) -> list[Peer]:
    half = budget // 2
    search: dict[str, Any] = {"binary_search_steps": 5, "max_iterations": half // 5}
    search |= {"learning_rate": 0.1, "initial_const": 10.0, "abort_early": False}
    super_steps = (budget - 10) // (4 * _CLASSES + 3)
    return [
        _peer("adv_lib", "ddn", steps=half, levels=None),
        _peer("adv_lib", "pdgd", num_steps=half),
        _peer("adv_lib", "sdf", steps=super_steps, df_steps=4),
        _peer("adv_lib", "carlini_wagner_l2", **search),
    ]


def _minimal_apgd(norm: str, budget: int) -> Peer:
    searches = 10 if budget >= 500 else 5
    steps = (budget // searches - 4) // 2  # Beside its steps a run costs four.
    search: dict[str, Any] = {"binary_search_steps": searches, "n_iter": steps}
    name, first = "auto_pgd.minimal_apgd", _FIRST_EPS[norm]
    return _peer("adv_lib", name, norm=_ORDERS[norm], max_eps=first, **search)


def _fab_steps(budget: int) -> int:
    return (budget - 3) // (_CLASSES + 2)  # Two forwards, one backward for each class.


def _fab(library: str, name: str, norm: str, **steps: int) -> Peer:
    named: dict[str, Any] = {"norm": NAMES[norm], "eps": _FAR, **steps}
    return _peer(library, name, **named)


def _one_by_one(attack: str, runner_up: bool = False, **arguments: Any) -> Peer:
    return _peer("art", attack, runner_up, **arguments, batch_size=1, verbose=False)


def _peer(library: str, attack: str, runner_up: bool = False, **arguments: Any) -> Peer:
    return Peer(library, attack, lambda eps: arguments, runner_up=runner_up)


_LISTS: dict[str, Callable[[str, int], list[Peer]]] = {
    "foolbox": _foolbox,
    "art": _art,
    "torchattacks": _torchattacks,
    "autoattack": _autoattack,
    "adv_lib": _adv_lib,
}
