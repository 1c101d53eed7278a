"""Runs commands as `python -m experiments.NAME ...` would, many for one start-up.

Importing JAX and Flax takes seconds. One process imports them, then forks for each
command and runs the experiment as `__main__` in the child, which starts with fresh
flags and a back end of its own.
"""

import importlib
import json
import os
import pathlib
import runpy
import subprocess
import sys
import traceback
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[2]


class Outcome(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def run_all(commands: list[list[str]], cwd: pathlib.Path) -> list[Outcome]:
    """Runs commands (name, *options) one after the other in the directory `cwd`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.experiments.command_line"],
        input=json.dumps([str(cwd), commands]),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Outcome(*outcome) for outcome in json.loads(done.stdout)]


def _forked(command: list[str], folder: pathlib.Path) -> Outcome:
    out, err = folder / ".stdout", folder / ".stderr"
    child = os.fork()
    if child == 0:
        for path, descriptor in ((out, 1), (err, 2)):
            os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), descriptor)
        _become(command)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    outcome = Outcome(code, out.read_text(), err.read_text())
    out.unlink(), err.unlink()
    return outcome


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
    folder, todo = json.load(sys.stdin)
    os.chdir(folder)
    for shared in ("experiments.recording", "robust_jax.evaluate", "robust_jax.train"):
        importlib.import_module(shared)
    ends = [_forked(command, pathlib.Path(folder)) for command in todo]
    json.dump(ends, sys.stdout)
