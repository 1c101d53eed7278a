"""Minimum-norm attacks of other libraries, each at its best within a budget.

The budget is in forwards and backwards per image. Steps are as many as it allows in the
worst case; where a library's cost depends on the image (line searches, stopping early),
settings that stay below the budget on three nets. The other settings are the library's
or the paper's, or the best of two or three that were tried on the digits.
"""

import math
from collections.abc import Callable
from typing import Any

from experiments.peers.pair import NAMES, Peer

LIBRARIES = ("foolbox", "art", "torchattacks", "autoattack", "adv_lib")
CLASSES = 10

_FAR = 1e6  # FAB keeps what is nearer than its eps.
_ORDERS = {"linf": math.inf, "l2": 2, "l1": 1, "l0": 0}


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


def settings(peer: Peer) -> str:
    """The arguments of an attack, in one line."""
    given = peer.arguments(math.inf).items()
    hidden = ("verbose", "eps", "norm", "p", "distance")
    words = [f"{name}={value}" for name, value in given if name not in hidden]
    return ", ".join(words + ["towards the runner-up"] * peer.runner_up)


def _foolbox(norm: str, budget: int) -> list[Peer]:
    half = (budget - 2) // 2  # The library judges once more at the end.
    search: dict[str, Any]
    short = "LInf" if norm == "linf" else NAMES.get(norm, "L0")
    found = [_peer("foolbox", f"{short}FMNAttack", steps=half)]
    if norm in ("linf", "l2"):
        steps = (budget - 2) // (2 * (CLASSES - 1))
        found.append(_peer("foolbox", f"{NAMES[norm]}DeepFoolAttack", steps=steps))
    if norm == "l2":
        found.append(_peer("foolbox", "DDNAttack", steps=half))
        search = {"binary_search_steps": 9, "steps": half // 9, "stepsize": 0.1}
        found.append(_peer("foolbox", "L2CarliniWagnerAttack", **search))
    if norm == "l1":
        search = {"binary_search_steps": 9, "steps": budget // (9 * 3)}
        search |= {"decision_rule": "L1", "initial_stepsize": 0.1}
        found.append(_peer("foolbox", "EADAttack", **search))
    return found


def _art(norm: str, budget: int) -> list[Peer]:
    """One image at a time, ART's default: a batch costs a backward per label in it."""
    search: dict[str, Any]
    if norm == "linf":
        taus = {"initial_const": 10.0, "learning_rate": 0.05, "max_iter": 10}
        return [_one_by_one("CarliniLInfMethod", **taus)]
    if norm == "l2":
        search = {"binary_search_steps": 10, "max_iter": budget // 100}
        return [
            _one_by_one("CarliniL2Method", **search),
            _one_by_one("DeepFool", max_iter=budget // (CLASSES + 2)),
            _one_by_one("NewtonFool", max_iter=budget // 3),
        ]
    if norm == "l1":
        search = {"binary_search_steps": 9, "max_iter": budget // (9 * 6)}
        search |= {"decision_rule": "L1", "learning_rate": 0.1}
        return [_one_by_one("ElasticNet", **search)]
    search = {"binary_search_steps": 5, "max_iter": budget // 100}
    saliency = {"theta": 1.0, "gamma": 1.0, "batch_size": 1, "verbose": False}
    return [
        _one_by_one("CarliniL0Method", **search),
        Peer("art", "SaliencyMapMethod", lambda eps: saliency, runner_up=True),
    ]


def _torchattacks(norm: str, budget: int) -> list[Peer]:
    found = []
    if norm == "l2":
        steps = budget // (CLASSES + 1)
        found.append(_peer("torchattacks", "CW", c=10, steps=budget // 2, lr=0.05))
        found.append(_peer("torchattacks", "DeepFool", steps=steps))
    if norm in ("linf", "l2"):
        found.append(_fab("torchattacks", "FAB", norm, steps=_fab_steps(budget)))
    if norm == "l0":
        found.append(_peer("torchattacks", "SparseFool", steps=20))
        saliency: dict[str, Any] = {"theta": 1.0, "gamma": 0.2}
        found.append(Peer("torchattacks", "JSMA", lambda eps: saliency, runner_up=True))
    return found


def _autoattack(norm: str, budget: int) -> list[Peer]:
    if norm == "l0":
        return []
    name = "fab_pt.FABAttack_PT"
    return [_fab("autoattack", name, norm, n_iter=_fab_steps(budget))]


def _adv_lib(norm: str, budget: int) -> list[Peer]:
    half, order = budget // 2, _ORDERS[norm]
    found = [
        _peer("adv_lib", "fmn", norm=order, steps=half),
        _peer("adv_lib", "pdpgd", norm=order, num_steps=half),
    ]
    return found


def _fab_steps(budget: int) -> int:
    return (budget - 3) // (CLASSES + 2)  # Two forwards, one backward for each class.


def _fab(library: str, name: str, norm: str, **steps: int) -> Peer:
    return _peer(library, name, norm=NAMES[norm], eps=_FAR, **steps)


def _one_by_one(attack: str, **arguments: Any) -> Peer:
    return _peer("art", attack, **arguments, batch_size=1, verbose=False)


def _peer(library: str, attack: str, **arguments: Any) -> Peer:
    return Peer(library, attack, lambda eps: arguments)


_LISTS: dict[str, Callable[[str, int], list[Peer]]] = {
    "foolbox": _foolbox,
    "art": _art,
    "torchattacks": _torchattacks,
    "autoattack": _autoattack,
    "adv_lib": _adv_lib,
}
