"""Pairs of AutoAttack's kind: APGD, ACG, FAB and the Square Attack."""

import functools
from typing import Any

from experiments.comparisons.peers.pair import (
    NAMES,
    Pair,
    Peer,
    art,
    autoattack,
    torchattacks,
)
from robust_jax import attacks
from robust_jax.evaluate import stages
from robust_jax.losses import objectives

_LOSSES = {  # AutoAttack's name: ours, ART's
    "ce": (objectives.cross_entropy, "cross_entropy"),
    "dlr": (objectives.dlr, "difference_logits_ratio"),
}


def apgd(norm: str, loss: str, steps: int = 100) -> Pair:
    """Auto-PGD on an objective, "ce" or "dlr"."""
    objective, long_name = _LOSSES[loss]
    budget: dict[str, Any] = {"max_iter": steps, "nb_random_init": 1}
    budget |= {"loss_type": long_name, "verbose": False}
    theirs = (
        autoattack("autopgd_base.APGDAttack", norm, n_iter=steps, loss=loss),
        torchattacks("APGD", norm=NAMES[norm], steps=steps, loss=loss),
        art("AutoProjectedGradientDescent", norm, 2.0, **budget),
    )
    attack = functools.partial(attacks.apgd, objective, steps)
    return Pair(f"APGD-{loss.upper()}", norm, f"{steps} steps, 1 start", attack, theirs)


def apgd_targeted(norm: str, steps: int = 100) -> Pair:
    """Auto-PGD towards one class after the other."""
    name, targets = "autopgd_base.APGDAttack_targeted", 9
    theirs = (
        autoattack(name, norm, n_iter=steps, n_target_classes=targets),
        torchattacks("APGDT", norm=NAMES[norm], steps=steps, n_classes=targets + 1),
    )
    words = f"{steps} steps towards each of the {targets} likeliest classes"
    attack = functools.partial(attacks.apgd, objectives.dlr, steps)
    goals = stages.likeliest_targets(targets)
    return Pair("APGD-T", norm, words, attack, theirs, goals)


def apgd_l1(loss: str, steps: int = 100) -> Pair:
    """Auto-PGD for L1, which shrinks the ball twice."""
    name, (objective, _) = "autopgd_base.APGDAttack", _LOSSES[loss]
    theirs = autoattack(name, "l1", n_iter=steps, loss=loss, use_largereps=True)
    words = f"{steps} steps at 3, 2 and 1 eps"
    attack = functools.partial(attacks.apgd_l1, objective, steps)
    return Pair(f"APGD-{loss.upper()}", "l1", words, attack, (theirs,))


def acg(norm: str, steps: int = 100) -> Pair:
    """Auto conjugate gradients."""
    budget: dict[str, Any] = {"max_iter": steps, "nb_random_init": 1, "verbose": False}
    budget |= {"loss_type": _LOSSES["dlr"][1]}
    theirs = (art("AutoConjugateGradient", norm, 2.0, **budget),)
    attack = functools.partial(attacks.acg, objectives.dlr, steps)
    return Pair("ACG-DLR", norm, f"{steps} steps, 1 start", attack, theirs)


def fab(norm: str, steps: int = 100) -> Pair:
    """The closest boundary that a linear model sees."""
    theirs: tuple[Peer, ...] = (autoattack("fab_pt.FABAttack_PT", norm, n_iter=steps),)
    if norm != "l1":
        theirs += (torchattacks("FAB", norm=NAMES[norm], steps=steps),)
    attack = functools.partial(attacks.fab, steps)
    return Pair("FAB", norm, f"{steps} steps, 1 start", attack, theirs)


def square(norm: str, queries: int = 1000) -> Pair:
    """Random search whose windows shrink as in a search of 10,000 queries."""
    budget: dict[str, Any] = {"n_queries": queries, "resc_schedule": False}
    theirs: tuple[Peer, ...] = (autoattack("square.SquareAttack", norm, **budget),)
    if norm != "l1":
        theirs += (torchattacks("Square", norm=NAMES[norm], **budget),)
    attack = functools.partial(attacks.square, queries)
    return Pair("Square", norm, f"{queries:,} candidates", attack, theirs)


def square_rescaled(norm: str, queries: int = 1000) -> Pair:
    """Random search whose windows shrink over its own queries, as ART's always do."""
    theirs = (art("SquareAttack", norm, max_iter=queries, verbose=False),)
    attack = functools.partial(attacks.square, queries, horizon=queries)
    words = f"{queries:,} candidates, all window sizes"
    return Pair("Square-rescaled", norm, words, attack, theirs)
