"""Runs commands as `python -m experiments.NAME ...` would, many for one start-up.

Importing JAX and Flax takes seconds. One process imports them, then forks for each
command and runs the experiment as `__main__` in the child, which starts with fresh
flags and a back end of its own. The process serves all tests of a session, and its
children share JAX's cache of compiled programs, as most programs are the same.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).parents[2]
_IMPORTED = (  # No flags but those of experiments.common.
    "experiments.recording",
    "experiments.distances",
    "experiments.properties.studies",
    "experiments.peers.nearest",
    "robust_jax.evaluate",
    "robust_jax.interop",
    "robust_jax.report.figures",
    "robust_jax.train",
    "robust_jax.words",
    "orbax.checkpoint",
    "tensorflow_datasets",
)


class Outcome(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def run_all(
    commands: list[list[str]], cwd: pathlib.Path, seconds: int = 0
) -> list[Outcome]:
    """Runs commands (name, *options) one after the other in the directory `cwd`.

    With `seconds` a command that takes longer is ended, by a negative code.
    """
    server, variables = _server(), dict(os.environ)
    ends = []
    for command in commands:
        server.stdin.write(json.dumps([str(cwd), command, variables, seconds]) + "\n")
        server.stdin.flush()
        ends.append(Outcome(*json.loads(server.stdout.readline())))
    return ends


def run(command: list[str], cwd: pathlib.Path) -> Outcome:
    """Runs one command."""
    return run_all([command], cwd)[0]


@functools.cache
def cache() -> pathlib.Path:
    """Where the commands' compiled programs are, until the session ends."""
    folder = tempfile.TemporaryDirectory(prefix="programs")
    atexit.register(folder.cleanup)
    return pathlib.Path(folder.name)


@functools.cache
def _server() -> Any:
    shared = {
        "JAX_COMPILATION_CACHE_DIR": str(cache()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.experiments.command_line"],
        env={**shared, **os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)  # The end of its input ends it.
    return server


def _forked(
    folder: str, command: list[str], variables: dict[str, str], seconds: int
) -> Outcome:
    with tempfile.TemporaryDirectory() as own:
        out, err = pathlib.Path(own, "out"), pathlib.Path(own, "err")
        child = os.fork()
        if child == 0:
            for path, descriptor in ((out, 1), (err, 2)):
                os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), descriptor)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(variables)
            signal.alarm(seconds)  # 0: never.
            _become(command)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return Outcome(code, out.read_text(), err.read_text())


def _become(command: list[str]) -> None:
    """Runs the experiment as Python's -m does, and never returns."""
    code = 1
    try:
        sys.argv = command
        runpy.run_module(f"experiments.{command[0]}", {}, "__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    for shared in _IMPORTED:
        importlib.import_module(shared)
    gc.freeze()  # A child that collects would copy all pages.
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_forked(*json.loads(line))) + "\n")
        sys.stdout.flush()
