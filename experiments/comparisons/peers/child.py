"""A program of `served` as a child process, in the environment of `make peers`."""

import json
import pathlib
import subprocess
import tempfile
from typing import Any, Self

import jax
import numpy as np

_SERVED = pathlib.Path(__file__).with_name("served")


def check_installed(python: str) -> None:
    """Raises FileNotFoundError unless the interpreter exists."""
    if not pathlib.Path(python).exists():
        raise FileNotFoundError(
            f"peers_python={python}; no such interpreter; run `make peers` first"
        )


def check_on_cpu() -> None:
    """Raises ValueError unless JAX runs on the CPU, as the libraries do."""
    if jax.default_backend() != "cpu":
        raise ValueError(
            f"backend={jax.default_backend()}; expected the CPU, as the libraries run "
            "there; set JAX_PLATFORMS=cpu"
        )


def memory(process: int) -> dict[str, float]:
    """Resident memory of a process in MiB: VmRSS now, VmHWM at its highest (Linux)."""
    lines = pathlib.Path(f"/proc/{process}/status").read_text().splitlines()
    fields = (line.split() for line in lines if line.startswith(("VmRSS", "VmHWM")))
    return {name.rstrip(":"): int(kib) / 1024 for name, kib, _ in fields}


class Child:
    """A process that attacks one problem: requests are lines of JSON, arrays npz.

    Its other end is `served.serving`.

    Args:
        python: interpreter of the environment that `make peers` set up.
        program: file name in `served`.
        problem: the arrays that the program reads.
    Raises: FileNotFoundError: no such interpreter.
    """

    versions: dict[str, str]  # of the libraries
    threads: int

    def __init__(self, python: str, program: str, problem: dict[str, Any]) -> None:
        check_installed(python)
        self._command, self._problem = [python, str(_SERVED / program)], problem

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self._folder.name)
        self._out, self._log = folder / "out.npz", folder / "log"
        np.savez(folder / "in.npz", **self._problem)
        with self._log.open("w") as log:  # What libraries print: shown if they crash.
            self._process: Any = subprocess.Popen(
                [*self._command, str(folder / "in.npz"), str(self._out)],
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

    @property
    def process_id(self) -> int:
        """The process's number, to look at its memory."""
        return self._process.pid

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request.

        Raises: ValueError: the process ended.
        """
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def x_adv(self) -> np.ndarray:
        """The adversarial images of the last answer, shape [B, H, W, C]."""
        with np.load(self._out) as file:
            return file["x_adv"]

    def _read(self) -> dict[str, Any]:
        answer = self._process.stdout.readline()
        if not answer:
            last = self._log.read_text().strip().rpartition("\n")[2]
            raise ValueError(
                f"the process of the libraries ended early ({last}); run `make peers`"
            )
        return json.loads(answer)
