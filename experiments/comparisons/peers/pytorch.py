"""The client of `served/serve_pytorch.py`: PGD in plain PyTorch."""

from typing import Any

import numpy as np

from experiments.comparisons.peers.child import Child


class PyTorch(Child):
    """A PyTorch process that runs PGD on one problem.

    Args:
        python: interpreter of the environment that `make peers` set up.
        problem: the arrays that `serve_pytorch` reads.
    Raises: FileNotFoundError: no such interpreter.
    """

    def __init__(self, python: str, problem: dict[str, Any]) -> None:
        super().__init__(python, "serve_pytorch.py", problem)

    def seconds(self, layout: str) -> float:
        """Attacks once, in a memory layout; the seconds that took there."""
        return self.ask({"layout": layout})["seconds"]

    def result(self) -> np.ndarray:
        """The adversarial images of one more run, shape [B, H, W, C]."""
        self.seconds("default")
        return self.x_adv()
