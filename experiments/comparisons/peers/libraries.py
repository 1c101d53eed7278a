"""The client of `served/serve_libraries.py`: other libraries' attacks."""

import math
from typing import Any

from experiments.comparisons.peers.child import Child
from experiments.comparisons.peers.pair import Peer
from experiments.comparisons.peers.problem import Found


class LibraryError(Exception):
    """What a library's attack raised."""


class Libraries(Child):
    """The process of the attack libraries.

    Args:
        python: interpreter of the environment that `make peers` set up.
        problem: the arrays that `serve_libraries` reads.
    Raises: FileNotFoundError: no such interpreter.
    """

    def __init__(self, python: str, problem: dict[str, Any]) -> None:
        super().__init__(python, "serve_libraries.py", problem)

    def run(self, peer: Peer, eps: float | None, seed: int, batch: int = 250) -> Found:
        """Attacks once; `batch` is of AutoAttack's whole evaluation.

        Without eps, foolbox's minimum-norm attacks return what is nearest.

        Raises: LibraryError: the library's attack failed.
        """
        request = {
            "library": peer.library,
            "attack": peer.attack,
            "arguments": peer.arguments(math.inf if eps is None else eps),
            "channels": peer.channels,
            "runner_up": peer.runner_up,
            "eps": eps,
            "seed": seed,
            "batch": batch,
        }
        answer = self.ask(request)
        if "error" in answer:
            raise LibraryError(answer["error"])
        return Found(self.x_adv(), **answer)
