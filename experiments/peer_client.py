"""The client of `peer_torch`: PyTorch in a process and an environment of its own."""

import pathlib
import subprocess
import tempfile
from typing import Any, Self

import numpy as np

_PROGRAM = pathlib.Path(__file__).with_name("peer_torch.py")


def check_installed(python: str) -> None:
    """Raises FileNotFoundError unless the interpreter exists."""
    if not pathlib.Path(python).exists():
        raise FileNotFoundError(
            f"peers_python={python}; no such interpreter; run `make peers` first"
        )


class Torch:
    """A PyTorch process that attacks one problem; arrays travel as npz.

    Args:
        python: interpreter of the environment that `make peers` set up.
        problem: the arrays that `peer_torch` reads.
    Raises: FileNotFoundError: no such interpreter.
    """

    def __init__(self, python: str, problem: dict[str, Any]) -> None:
        check_installed(python)
        self._python, self._problem = python, problem

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        given = pathlib.Path(self._folder.name) / "in.npz"
        self._out = given.with_name("out.npz")
        np.savez(given, **self._problem)
        self._process: Any = subprocess.Popen(
            [self._python, str(_PROGRAM), str(given), str(self._out)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.version, self.threads = self._read().split()
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate(timeout=60)  # Closes its input, which ends it.
        self._folder.cleanup()

    def seconds(self, layout: str) -> float:
        """Attacks once, in a memory layout; the seconds that took there."""
        self._process.stdin.write(f"{layout}\n")
        self._process.stdin.flush()
        return float(self._read())

    def result(self) -> np.ndarray:
        """The adversarial images of one more run, shape [B, H, W, C]."""
        self.seconds("default")
        with np.load(self._out) as file:
            return file["x_adv"]

    def _read(self) -> str:
        answer = self._process.stdout.readline()
        if not answer:
            raise ValueError("the PyTorch process ended early; see its message above")
        return answer
