"""Pairs of the attacks for transfer, here on the net itself."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from experiments.comparisons.peers.pair import STEP, Pair, torchattacks
from robust_jax import attacks
from robust_jax.core.types import Attack

_STEPS, _SCALES, _SAMPLES = 10, 5, 5


def di_fgsm() -> Pair:
    """Diverse inputs."""
    more = {"diversity_prob": 0.5}
    return _pair("DI-FGSM", ", diverse with 1/2", attacks.di_fgsm, **more)


def ti_fgsm() -> Pair:
    """Smoothed gradients."""
    more = {"diversity_prob": 0.0}
    pair = _pair("TI-FGSM", ", 15 by 15 kernel", attacks.ti_fgsm, **more)
    # Its kernel is written for three channels; see served.counted_nets.CountedNet.
    in_colour = tuple(dataclasses.replace(peer, channels=3) for peer in pair.theirs)
    return dataclasses.replace(pair, theirs=in_colour)


def ni_fgsm() -> Pair:
    """Nesterov's momentum."""
    return _pair("NI-FGSM", "", attacks.ni_fgsm)


def si_ni_fgsm() -> Pair:
    """Nesterov's momentum over scaled copies."""
    ours = functools.partial(attacks.si_ni_fgsm, copies=_SCALES)
    return _pair("SI-NI-FGSM", f", {_SCALES} scales", ours, m=_SCALES)


def vmi_fgsm() -> Pair:
    """Momentum with tuned variance."""
    ours = functools.partial(attacks.vmi_fgsm, samples=_SAMPLES)
    return _pair("VMI-FGSM", f", {_SAMPLES} samples", ours, N=_SAMPLES)


def vni_fgsm() -> Pair:
    """Nesterov's momentum with tuned variance."""
    ours = functools.partial(attacks.vni_fgsm, samples=_SAMPLES)
    return _pair("VNI-FGSM", f", {_SAMPLES} samples", ours, N=_SAMPLES)


def _pair(name: str, words: str, ours: Callable[..., Attack], **theirs: Any) -> Pair:
    named = name.replace("-", "")
    peer = torchattacks(named, STEP, steps=_STEPS, decay=1.0, **theirs)
    words = f"{_STEPS} steps of {STEP:.3g} eps, decay 1{words}"
    return Pair(name, "linf", words, functools.partial(ours, _STEPS, STEP), (peer,))
