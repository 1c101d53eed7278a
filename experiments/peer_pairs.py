"""Which attack of ours stands beside which of theirs: the data of `compare_peers`.

A pair gives both sides the same budget: steps, step size, starts, targets, queries, and
the same objective where the library lets one choose.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from robust_jax import attacks, evaluate
from robust_jax.attacks.apgd_l1 import apgd_l1
from robust_jax.attacks.fab import fab
from robust_jax.attacks.slide import slide
from robust_jax.attacks.square import square
from robust_jax.attacks.transfer import (
    di_fgsm,
    ni_fgsm,
    si_ni_fgsm,
    ti_fgsm,
    vmi_fgsm,
    vni_fgsm,
)
from robust_jax.core.types import Attack
from robust_jax.evaluate import stages
from robust_jax.losses import objectives

_NAMES = {"linf": "Linf", "l2": "L2", "l1": "L1"}
_ART_NAMES = {"linf": "inf", "l2": 2, "l1": 1}
_LOSSES = {  # AutoAttack's name: ours, ART's
    "ce": (objectives.cross_entropy, "cross_entropy"),
    "dlr": (objectives.dlr, "difference_logits_ratio"),
}
_SHORT, _LONG = 1 / 30, 2.5 / 40  # PGD-40's step: Madry et al.; enough for sparse ones
_STEP = 0.1  # of the momentum attacks: 10 of them span the radius

Arguments = Callable[[float], dict[str, Any]]  # eps -> keyword arguments


@dataclasses.dataclass(frozen=True)
class Peer:
    """An attack of another library, as `peer_attacks` finds and calls it."""

    library: str
    attack: str  # its name there
    arguments: Arguments
    channels: int = 1  # that the images must have


@dataclasses.dataclass(frozen=True)
class Pair:
    """One attack: ours, and the same one of other libraries."""

    name: str
    norm: str
    budget: str
    attack: Callable[[], Attack]
    theirs: tuple[Peer, ...]
    goals: stages.Goals = evaluate.untargeted

    def stage(self) -> evaluate.Stage:
        """Ours, ready to run."""
        return evaluate.Stage(self.name, self.attack(), self.goals)


def foolbox(attack: str, **arguments: Any) -> tuple[Peer, ...]:
    """An attack of foolbox in both modes; steps are relative there, as ours."""
    modes = ("foolbox", "foolbox, JAX")
    return tuple(Peer(mode, attack, lambda eps: arguments) for mode in modes)


def torchattacks(attack: str, step: float | None = None, **rest: Any) -> Peer:
    """An attack of torchattacks, whose steps (here of eps) are absolute."""
    return Peer("torchattacks", attack, _absolute("alpha", step, rest))


def art(attack: str, norm: str, step: float | None = None, **rest: Any) -> Peer:
    """An attack of the Adversarial Robustness Toolbox, whose steps are absolute."""
    rest = {"norm": _ART_NAMES[norm], **rest}
    return Peer("art", attack, _absolute("eps_step", step, rest))


def autoattack(attack: str, norm: str, **rest: Any) -> Peer:
    """A part of AutoAttack's reference implementation."""
    rest = {"norm": _NAMES[norm], **rest}
    return Peer("autoattack", attack, _absolute("", None, rest))


def _absolute(name: str, step: float | None, rest: dict[str, Any]) -> Arguments:
    def arguments(eps: float) -> dict[str, Any]:
        return {"eps": eps, **({} if step is None else {name: step * eps}), **rest}

    return arguments


def _one_step(norm: str) -> Pair:
    theirs = foolbox(f"{_NAMES[norm]}FastGradientAttack")
    theirs += (art("FastGradientMethod", norm),)
    if norm == "linf":
        theirs += (torchattacks("FGSM"),)
    return Pair("FGSM", norm, "1 gradient", lambda: attacks.fgsm(), theirs)


def _bim(norm: str, steps: int = 10, step: float = 0.2) -> Pair:
    name = f"{_NAMES[norm]}BasicIterativeAttack"
    theirs = foolbox(name, steps=steps, rel_stepsize=step, random_start=False)
    theirs += (
        art("ProjectedGradientDescent", norm, step, max_iter=steps, verbose=False),
    )
    if norm == "linf":
        theirs += (torchattacks("BIM", step, steps=steps),)
    budget = f"{steps} steps of {step:.3g} eps"
    return Pair(f"BIM-{steps}", norm, budget, lambda: attacks.bim(steps, step), theirs)


def _pgd(norm: str, step: float, steps: int = 40) -> Pair:
    name = f"{_NAMES[norm]}ProjectedGradientDescentAttack"
    theirs = foolbox(name, steps=steps, rel_stepsize=step, random_start=True)
    budget: dict[str, Any] = {"max_iter": steps, "num_random_init": 1}
    theirs += (art("ProjectedGradientDescent", norm, step, **budget, verbose=False),)
    if norm != "l1":
        named = {"linf": "PGD", "l2": "PGDL2"}[norm]
        theirs += (torchattacks(named, step, steps=steps, random_start=True),)
    words = f"{steps} steps of {step:.3g} eps, 1 random start"
    return Pair(f"PGD-{steps}", norm, words, lambda: attacks.pgd(steps, step), theirs)


def _mim(norm: str, steps: int = 10) -> Pair:
    name = f"{_NAMES[norm]}MomentumIterativeFastGradientMethod"
    theirs = foolbox(name, steps=steps, rel_stepsize=_STEP, momentum=1.0)
    budget: dict[str, Any] = {"max_iter": steps, "decay": 1.0, "verbose": False}
    theirs += (art("MomentumIterativeMethod", norm, _STEP, **budget),)
    if norm == "linf":
        theirs += (torchattacks("MIFGSM", _STEP, steps=steps, decay=1.0),)
    words = f"{steps} steps of {_STEP:.3g} eps, decay 1"
    return Pair(f"MIM-{steps}", norm, words, lambda: attacks.mim(steps, _STEP), theirs)


def _apgd(norm: str, loss: str, steps: int = 100) -> Pair:
    objective, long_name = _LOSSES[loss]
    budget: dict[str, Any] = {"max_iter": steps, "nb_random_init": 1}
    budget |= {"loss_type": long_name, "verbose": False}
    theirs = (
        autoattack("autopgd_base.APGDAttack", norm, n_iter=steps, loss=loss),
        torchattacks("APGD", norm=_NAMES[norm], steps=steps, loss=loss),
        art("AutoProjectedGradientDescent", norm, 2.0, **budget),
    )
    words = f"{steps} steps, 1 start"
    attack = lambda: attacks.apgd(objective, steps)  # noqa: E731
    return Pair(f"APGD-{loss.upper()}", norm, words, attack, theirs)


def _apgd_targeted(norm: str, steps: int = 100) -> Pair:
    name, targets = "autopgd_base.APGDAttack_targeted", 9
    theirs = (
        autoattack(name, norm, n_iter=steps, n_target_classes=targets),
        torchattacks("APGDT", norm=_NAMES[norm], steps=steps, n_classes=targets + 1),
    )
    return Pair(
        "APGD-T",
        norm,
        f"{steps} steps towards each of the {targets} likeliest classes",
        lambda: attacks.apgd(objectives.dlr, steps),
        theirs,
        stages.likeliest_targets(targets),
    )


def _apgd_l1(loss: str, steps: int = 100) -> Pair:
    name, (objective, _) = "autopgd_base.APGDAttack", _LOSSES[loss]
    theirs = autoattack(name, "l1", n_iter=steps, loss=loss, use_largereps=True)
    attack = lambda: apgd_l1(objective, steps)  # noqa: E731
    words = f"{steps} steps at 3, 2 and 1 eps"
    return Pair(f"APGD-{loss.upper()}", "l1", words, attack, (theirs,))


def _acg(norm: str, steps: int = 100) -> Pair:
    budget: dict[str, Any] = {"max_iter": steps, "nb_random_init": 1, "verbose": False}
    budget |= {"loss_type": _LOSSES["dlr"][1]}
    theirs = (art("AutoConjugateGradient", norm, 2.0, **budget),)
    attack = lambda: attacks.acg(objectives.dlr, steps)  # noqa: E731
    return Pair("ACG-DLR", norm, f"{steps} steps, 1 start", attack, theirs)


def _fab(norm: str, steps: int = 100) -> Pair:
    theirs: tuple[Peer, ...] = (autoattack("fab_pt.FABAttack_PT", norm, n_iter=steps),)
    if norm != "l1":
        theirs += (torchattacks("FAB", norm=_NAMES[norm], steps=steps),)
    attack = lambda: fab(steps)  # noqa: E731
    return Pair("FAB", norm, f"{steps} steps, 1 start", attack, theirs)


def _square(norm: str, queries: int = 1000) -> Pair:
    # As in the standard AutoAttack: windows shrink by the number of queries alone.
    # ART always stretches that schedule over the budget.
    budget: dict[str, Any] = {"n_queries": queries, "resc_schedule": False}
    theirs: tuple[Peer, ...] = (autoattack("square.SquareAttack", norm, **budget),)
    if norm != "l1":
        theirs += (
            torchattacks("Square", norm=_NAMES[norm], **budget),
            art("SquareAttack", norm, max_iter=queries, verbose=False),
        )
    attack = lambda: square(queries)  # noqa: E731
    return Pair("Square", norm, f"{queries:,} candidates", attack, theirs)


def _slide(steps: int = 20) -> Pair:
    theirs = foolbox(
        "SparseL1DescentAttack", steps=steps, rel_stepsize=_STEP, quantile=0.99
    )
    words = f"{steps} steps of {_STEP:.3g} eps"
    return Pair("SLIDE", "l1", words, lambda: slide(steps, _STEP), theirs)


def _transfer(
    name: str, words: str, attack: Callable[..., Attack], theirs: str, **rest: Any
) -> Pair:
    """The attacks for transfer, here on the net itself: 10 steps of eps / 10."""
    peer = torchattacks(theirs, _STEP, steps=10, decay=1.0, **rest)
    words = f"10 steps of {_STEP:.3g} eps, decay 1{words}"
    return Pair(name, "linf", words, attack, (peer,))


def _transfer_attacks() -> tuple[Pair, ...]:
    samples = 5
    ti = _transfer(
        "TI-FGSM",
        ", 15 by 15 kernel",
        lambda: ti_fgsm(10, _STEP),
        "TIFGSM",
        diversity_prob=0.0,
    )
    # Its kernel is written for three channels; see peer_attacks.CountedNet.
    in_colour = tuple(dataclasses.replace(peer, channels=3) for peer in ti.theirs)
    return (
        _transfer(
            "DI-FGSM",
            ", diverse with 1/2",
            lambda: di_fgsm(10, _STEP),
            "DIFGSM",
            diversity_prob=0.5,
        ),
        dataclasses.replace(ti, theirs=in_colour),
        _transfer("NI-FGSM", "", lambda: ni_fgsm(10, _STEP), "NIFGSM"),
        _transfer(
            "SI-NI-FGSM",
            ", 5 scales",
            lambda: si_ni_fgsm(10, _STEP, copies=5),
            "SINIFGSM",
            m=5,
        ),
        _transfer(
            "VMI-FGSM",
            f", {samples} samples",
            lambda: vmi_fgsm(10, _STEP, samples=samples),
            "VMIFGSM",
            N=samples,
        ),
        _transfer(
            "VNI-FGSM",
            f", {samples} samples",
            lambda: vni_fgsm(10, _STEP, samples=samples),
            "VNIFGSM",
            N=samples,
        ),
    )


PAIRS: tuple[Pair, ...] = (
    _one_step("linf"),
    _bim("linf"),
    _pgd("linf", _SHORT),
    _mim("linf"),
    *_transfer_attacks(),
    _apgd("linf", "ce"),
    _apgd("linf", "dlr"),
    _acg("linf"),
    _square("linf"),
    _fab("linf"),
    _apgd_targeted("linf"),
    _one_step("l2"),
    _bim("l2"),
    _pgd("l2", _LONG),
    _mim("l2"),
    _apgd("l2", "ce"),
    _apgd("l2", "dlr"),
    _acg("l2"),
    _square("l2"),
    _fab("l2"),
    _apgd_targeted("l2"),
    _pgd("l1", _LONG),
    _slide(),
    _apgd_l1("ce"),
    _apgd_l1("dlr"),
    _square("l1"),
    _fab("l1"),
)


def of_norm(norm: str) -> tuple[Pair, ...]:
    """The pairs of one norm, cheapest first."""
    return tuple(pair for pair in PAIRS if pair.norm == norm)
