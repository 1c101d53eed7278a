"""Commands of experiments in processes of their own, many for one start-up.

Importing JAX and Flax takes seconds. One process imports them, then forks for each
command and runs the experiment as `python -m` would, with fresh flags and a back end of
its own. A fault may be injected into the command while it runs.
"""

import contextlib
import gc
import importlib
import json
import os
import pathlib
import runpy
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from experiments.selfchecks import fault_hooks

_ROOT = pathlib.Path(__file__).parents[2]


class Outcome(NamedTuple):
    """How a command ended."""

    code: int  # negative: the signal that killed it
    out: str
    err: str
    touches: int = 0  # of files in its directory, see `fault_hooks`


class Children:
    """Runs commands one after the other, until it is closed.

    Args:
        imported: modules that are imported once, which define no flags but those that
            all commands share.
        variables: of the environment, beside this process's.
    """

    def __init__(
        self, imported: Iterable[str], variables: Mapping[str, str] | None = None
    ) -> None:
        self._server: Any = subprocess.Popen(
            [sys.executable, "-m", "experiments.selfchecks.children", *imported],
            env={**os.environ, **(variables or {}), "PYTHONPATH": str(_ROOT)},
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """Ends the process."""
        self._server.communicate()  # The end of its input ends it.

    def run(
        self,
        command: list[str],
        cwd: str | os.PathLike[str],
        fault: fault_hooks.Fault | None = None,
        variables: Mapping[str, str] | None = None,
        seconds: float = 300.0,
    ) -> Outcome:
        """Runs a command (name, *options) in a directory, with the variables alone."""
        asked = [str(cwd), command, fault, variables and {**variables}, seconds]
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        return Outcome(*json.loads(self._server.stdout.readline()))


def _forked(
    folder: str, command: list[str], fault: Any, variables: Any, seconds: float
) -> Outcome:
    pipes = [os.pipe() for _ in range(3)]  # As a full disk leaves them room.
    child = os.fork()
    if child == 0:
        for descriptor, (_, end) in enumerate(pipes[:2], start=1):
            os.dup2(end, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(folder)
        sys.path[0] = os.getcwd()  # As -m has it.
        if variables is not None:
            os.environ.clear()
            os.environ.update(variables)
        _become(command, fault, pipes[2][1])
    for _, end in pipes:
        os.close(end)
    code, (out, err, count) = _awaited(child, [start for start, _ in pipes], seconds)
    return Outcome(code, out, err, int(count or 0))


def _awaited(child: int, readers: list[int], seconds: float) -> tuple[int, list[str]]:
    """Its exit code, and what it wrote before its end."""
    texts, left = dict.fromkeys(readers, b""), list(readers)
    status, limit = None, time.monotonic() + seconds
    while True:
        ready = select.select(left, [], [], 0.02)[0]
        for reader in ready:
            piece = os.read(reader, 1 << 16)
            texts[reader] += piece
            if not piece:
                left.remove(reader)
        if status is None:
            ended, found = os.waitpid(child, os.WNOHANG)
            status = found if ended else None
        elif not ready or not left:
            break
        if status is None and time.monotonic() > limit:
            os.kill(child, signal.SIGKILL)
    for reader in readers:
        os.close(reader)
    said = [text.decode(errors="replace") for text in texts.values()]
    return os.waitstatus_to_exitcode(status), said


def _become(command: list[str], fault: Any, told: int) -> None:
    """Runs the experiment as Python's -m does, and never returns."""
    code, touches = 1, fault_hooks.armed(command, fault)
    try:
        sys.argv = command
        runpy.run_module(f"experiments.{command[0]}", {}, "__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(OSError):
        sys.stdout.flush(), sys.stderr.flush()
    os.write(told, str(touches()).encode())
    os._exit(code)


def _serve(imported: Iterable[str]) -> None:
    for name in imported:
        importlib.import_module(name)
    gc.freeze()  # A child that collects would copy all pages.
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_forked(*json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve(sys.argv[1:])
