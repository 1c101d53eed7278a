"""The client of `peer_attacks`: other libraries in a process of their own."""

import json
import pathlib
import subprocess
import tempfile
from typing import Any, NamedTuple, Self

import numpy as np

from experiments import peer_pairs

_PROGRAM = pathlib.Path(__file__).with_name("peer_attacks.py")


class LibraryError(Exception):
    """What a library's attack raised."""


class Found(NamedTuple):
    """One run of one attack."""

    x_adv: np.ndarray  # [N, H, W, C]
    seconds: float
    forwards: float  # per image
    backwards: float


class Peers:
    """The process of `peer_attacks`, in the environment of `make peers`.

    Args:
        python: its interpreter.
        problem: the arrays that `peer_attacks` reads.
    """

    def __init__(self, python: str, problem: dict[str, Any]) -> None:
        self._python, self._problem = python, problem

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self._folder.name)
        self._out, self._log = folder / "out.npz", folder / "log"
        np.savez(folder / "in.npz", **self._problem)
        with self._log.open("w") as log:  # What libraries print: shown if they crash.
            self._process: Any = subprocess.Popen(
                [self._python, _PROGRAM, folder / "in.npz", self._out],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        start = self._read()
        self.versions, self.threads = start["versions"], start["threads"]
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate(timeout=60)  # Closes its input, which ends it.
        self._folder.cleanup()

    def run(self, peer: peer_pairs.Peer, eps: float, seed: int) -> Found:
        """Attacks once.

        Raises: LibraryError: the library's attack failed.
        """
        request = {
            "library": peer.library,
            "attack": peer.attack,
            "arguments": peer.arguments(eps),
            "channels": peer.channels,
            "eps": eps,
            "seed": seed,
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        if "error" in answer:
            raise LibraryError(answer["error"])
        with np.load(self._out) as file:
            return Found(file["x_adv"], **answer)

    def _read(self) -> dict[str, Any]:
        answer = self._process.stdout.readline()
        if not answer:
            last = self._log.read_text().strip().rpartition("\n")[2]
            raise ValueError(
                f"the process of the libraries ended early ({last}); run `make peers`"
            )
        return json.loads(answer)
