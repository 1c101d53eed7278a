"""Pairs of projected steps: FGSM, BIM, PGD, MIM and SLIDE."""

import functools
from typing import Any

from experiments.comparisons.peers.pair import (
    NAMES,
    STEP,
    Pair,
    art,
    foolbox,
    torchattacks,
)
from robust_jax import attacks


def one_step(norm: str) -> Pair:
    """FGSM."""
    theirs = foolbox(f"{NAMES[norm]}FastGradientAttack")
    theirs += (art("FastGradientMethod", norm),)
    if norm == "linf":
        theirs += (torchattacks("FGSM"),)
    return Pair("FGSM", norm, "1 gradient", attacks.fgsm, theirs)


def bim(norm: str, steps: int = 10, step: float = 0.2) -> Pair:
    """Steps from the image itself."""
    name = f"{NAMES[norm]}BasicIterativeAttack"
    theirs = foolbox(name, steps=steps, rel_stepsize=step, random_start=False)
    budget: dict[str, Any] = {"max_iter": steps, "verbose": False}
    theirs += (art("ProjectedGradientDescent", norm, step, **budget),)
    if norm == "linf":
        theirs += (torchattacks("BIM", step, steps=steps),)
    words = f"{steps} steps of {step:.3g} eps"
    attack = functools.partial(attacks.bim, steps, step)
    return Pair(f"BIM-{steps}", norm, words, attack, theirs)


def pgd(norm: str, step: float, steps: int = 40) -> Pair:
    """Steps from a random start."""
    name = f"{NAMES[norm]}ProjectedGradientDescentAttack"
    theirs = foolbox(name, steps=steps, rel_stepsize=step, random_start=True)
    budget: dict[str, Any] = {"max_iter": steps, "num_random_init": 1}
    theirs += (art("ProjectedGradientDescent", norm, step, **budget, verbose=False),)
    if norm != "l1":
        named = {"linf": "PGD", "l2": "PGDL2"}[norm]
        theirs += (torchattacks(named, step, steps=steps, random_start=True),)
    words = f"{steps} steps of {step:.3g} eps, 1 random start"
    attack = functools.partial(attacks.pgd, steps, step)
    return Pair(f"PGD-{steps}", norm, words, attack, theirs)


def mim(norm: str, steps: int = 10) -> Pair:
    """Steps along a momentum."""
    name = f"{NAMES[norm]}MomentumIterativeFastGradientMethod"
    theirs = foolbox(name, steps=steps, rel_stepsize=STEP, momentum=1.0)
    budget: dict[str, Any] = {"max_iter": steps, "decay": 1.0, "verbose": False}
    theirs += (art("MomentumIterativeMethod", norm, STEP, **budget),)
    if norm == "linf":
        theirs += (torchattacks("MIFGSM", STEP, steps=steps, decay=1.0),)
    words = f"{steps} steps of {STEP:.3g} eps, decay 1"
    attack = functools.partial(attacks.mim, steps, STEP)
    return Pair(f"MIM-{steps}", norm, words, attack, theirs)


def slide(steps: int = 20) -> Pair:
    """Sparse steps in L1."""
    theirs = foolbox(
        "SparseL1DescentAttack", steps=steps, rel_stepsize=STEP, quantile=0.99
    )
    words = f"{steps} steps of {STEP:.3g} eps"
    attack = functools.partial(attacks.slide, steps, STEP)
    return Pair("SLIDE", "l1", words, attack, theirs)
