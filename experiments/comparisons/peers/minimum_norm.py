"""Minimum-norm attacks of other libraries, each at its best within a budget.

The budget is in forwards and backwards per image. Steps are as many as it allows if
every image needs all of them; attacks that search until they are done, or that stop
early, have settings that kept their mean below 1,000 on the digits and on an MNIST net.
Other settings are the library's, or the best of two to five tried on the digits.

Left out: torchattacks' FAB in L1, which its code cannot run; attacks that see no
gradients; foolbox's Brendel & Bethge attacks unless numba is installed.
"""

import math
from collections.abc import Callable, Mapping

from experiments.comparisons.peers import (
    minimum_norm_adv_lib,
    minimum_norm_on_pypi,
)
from experiments.comparisons.peers.minimum_norm_settings import FAR, START
from experiments.comparisons.peers.pair import Peer

_LISTS: dict[str, Callable[[str, int], list[Peer]]] = {
    "foolbox": minimum_norm_on_pypi.foolbox,
    "art": minimum_norm_on_pypi.art,
    "torchattacks": minimum_norm_on_pypi.torchattacks,
    "autoattack": minimum_norm_on_pypi.autoattack,
    "adv_lib": minimum_norm_adv_lib.adv_lib,
}
LIBRARIES = tuple(_LISTS)
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
        if name not in _HIDDEN and value not in (FAR, START)
    ]
    return ", ".join(words + ["towards the runner-up"] * peer.runner_up)
