"""Minimum-norm attacks of libraries on PyPI within a budget; see `minimum_norm`."""

from typing import Any

from experiments.comparisons.peers.minimum_norm_settings import (
    CLASSES,
    FAR,
    FMN_STEPS,
    START,
    peer,
)
from experiments.comparisons.peers.pair import NAMES, Peer


def foolbox(norm: str, budget: int) -> list[Peer]:
    """Those of foolbox that minimise a norm."""
    half = (budget - 2) // 2  # The library judges once more at the end.
    short = {"linf": "LInf", "l0": "L0"}.get(norm) or NAMES[norm]
    long = {"linf": "Linfinity", "l0": "L0"}.get(norm) or NAMES[norm]
    follow: dict[str, Any] = {"steps": max(half - 30, 1), "lr": 0.01}
    found = [
        peer("foolbox", f"{short}FMNAttack", steps=half, max_stepsize=step)
        for step in FMN_STEPS[norm]
    ]
    found.append(
        peer("foolbox", f"{long}BrendelBethgeAttack", **follow, init_attack=START)
    )
    if norm in ("linf", "l2"):
        steps = (budget - 2) // (2 * (CLASSES - 1))
        found.append(peer("foolbox", f"{NAMES[norm]}DeepFoolAttack", steps=steps))
    search: dict[str, Any] = {"binary_search_steps": 5, "initial_const": 1.0}
    search |= {"abort_early": False}
    if norm == "l2":
        found.append(peer("foolbox", "DDNAttack", steps=half))
        search |= {"initial_const": 10.0, "steps": half // 5, "stepsize": 0.1}
        found.append(peer("foolbox", "L2CarliniWagnerAttack", **search))
    if norm == "l1":
        search |= {"binary_search_steps": 9, "steps": (budget - 2) // (9 * 3)}
        search |= {"initial_stepsize": 0.01}
        found.append(peer("foolbox", "EADAttack", **search, decision_rule="L1"))
    return found


def art(norm: str, budget: int) -> list[Peer]:
    """Those of ART that minimise a norm, one image at a time.

    That is its default; a batch would cost a backward for each label in it.
    """
    search: dict[str, Any] = {"initial_const": 1.0, "binary_search_steps": 5}
    if norm == "linf":
        search = {"initial_const": 10.0, "learning_rate": 0.1}
        return [_one_by_one("CarliniLInfMethod", **search, max_iter=budget // 12)]
    if norm == "l2":
        return [
            _one_by_one("CarliniL2Method", **search, max_iter=budget // 50),
            _one_by_one("DeepFool", max_iter=(budget - 12) // (CLASSES + 2)),
            _one_by_one("NewtonFool", max_iter=(budget - 1) // 3),
        ]
    if norm == "l1":
        search |= {"max_iter": budget // (5 * 6), "learning_rate": 0.03, "beta": 0.01}
        return [_one_by_one("ElasticNet", **search, decision_rule="L1")]
    pixels = min(budget / 1000, 1.0)  # A pair costs 3, and MNIST has 392 pairs.
    return [
        _one_by_one(
            "CarliniL0Method", **search, max_iter=budget // 100, learning_rate=0.1
        ),
        _one_by_one("SaliencyMapMethod", True, theta=1.0, gamma=0.8 * pixels),
    ]


def torchattacks(norm: str, budget: int) -> list[Peer]:
    """Those of torchattacks that minimise a norm."""
    found = []
    if norm == "l2":
        steps = (budget - 1) // (CLASSES + 1)
        found.append(peer("torchattacks", "CW", c=10, steps=budget // 2, lr=0.05))
        found.append(peer("torchattacks", "DeepFool", steps=steps))
    if norm in ("linf", "l2"):
        found.append(_fab("torchattacks", "FAB", norm, steps=_fab_steps(budget)))
    if norm == "l0":
        pixels: dict[str, Any] = {
            "theta": 1.0,
            "gamma": 0.2,
        }  # A pair of them costs 12.
        found.append(
            peer("torchattacks", "SparseFool", steps=max(budget // 420, 1), lam=1)
        )
        found.append(peer("torchattacks", "JSMA", True, **pixels))
    return found


def autoattack(norm: str, budget: int) -> list[Peer]:
    """Those of autoattack that minimise a norm."""
    if norm == "l0":
        return []
    name = "fab_pt.FABAttack_PT"
    return [_fab("autoattack", name, norm, n_iter=_fab_steps(budget))]


def _fab_steps(budget: int) -> int:
    return (budget - 3) // (CLASSES + 2)  # Two forwards, one backward for each class.


def _fab(library: str, name: str, norm: str, **steps: int) -> Peer:
    named: dict[str, Any] = {"norm": NAMES[norm], "eps": FAR, **steps}
    return peer(library, name, **named)


def _one_by_one(attack: str, runner_up: bool = False, **arguments: Any) -> Peer:
    return peer("art", attack, runner_up, **arguments, batch_size=1, verbose=False)
