"""An attack of ours beside the same one of other libraries."""

import dataclasses
from collections.abc import Callable
from typing import Any

from robust_jax import evaluate
from robust_jax.core.types import Attack
from robust_jax.evaluate import stages

NAMES = {"linf": "Linf", "l2": "L2", "l1": "L1"}  # what most libraries call a norm
STEP = 0.1  # of the momentum attacks: 10 of them span the radius

_ART_NAMES = {"linf": "inf", "l2": 2, "l1": 1}

Arguments = Callable[[float], dict[str, Any]]  # eps -> keyword arguments


@dataclasses.dataclass(frozen=True)
class Peer:
    """An attack of another library, as `served.library_calls` finds and calls it."""

    library: str
    attack: str  # its name there
    arguments: Arguments
    channels: int = 1  # that the images must have
    runner_up: bool = False  # towards the second likeliest class, as it asks for one


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
    rest = {"norm": NAMES[norm], **rest}
    return Peer("autoattack", attack, _absolute("", None, rest))


def _absolute(name: str, step: float | None, rest: dict[str, Any]) -> Arguments:
    def arguments(eps: float) -> dict[str, Any]:
        return {"eps": eps, **({} if step is None else {name: step * eps}), **rest}

    return arguments
