"""What the lists of other libraries' minimum-norm attacks share."""

from typing import Any

from experiments.comparisons.peers.pair import Peer

CLASSES = 10
FAR = 1e6  # FAB keeps what is nearer than its eps.
START = {  # of Brendel & Bethge; at most 42 forwards
    "attack": "LinearSearchBlendedUniformNoiseAttack",
    "directions": 20,
    "steps": 20,
}
FMN_STEPS = {  # No step size is best on all nets.
    "linf": (1.0, 30.0),
    "l2": (0.1, 1.0),
    "l1": (0.1, 1.0),
    "l0": (100.0,),
}


def peer(library: str, attack: str, runner_up: bool = False, **arguments: Any) -> Peer:
    """An attack whose arguments know no radius."""
    return Peer(library, attack, lambda eps: arguments, runner_up=runner_up)
