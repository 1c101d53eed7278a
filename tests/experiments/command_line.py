"""Runs commands as `python -m experiments.NAME ...` would, many for one start-up.

The process that does so (`experiments.selfchecks.children`) serves all tests of a
session, and its children share JAX's cache of compiled programs, as most are the same.
"""

import atexit
import functools
import os
import pathlib
import tempfile

from experiments.selfchecks.children import Children, Outcome
from experiments.selfchecks.fault_hooks import Fault

_IMPORTED = (  # No flags but those of robust_jax.commands.shared.common.
    "robust_jax.commands.shared.recording",
    "robust_jax.commands.shared.distances",
    "experiments.studies.properties.studies",
    "experiments.comparisons.peers.nearest",
    "robust_jax.evaluate",
    "robust_jax.interop",
    "robust_jax.report.figures",
    "robust_jax.train",
    "experiments.studies.words",
    "orbax.checkpoint",
    "tensorflow_datasets",
)


def run_all(
    commands: list[list[str]], cwd: pathlib.Path, seconds: float = 300.0
) -> list[Outcome]:
    """Runs commands (name, *options) one after the other in the directory `cwd`.

    A command that takes longer than so many seconds is ended, by a negative code.
    """
    server, variables = _server(), dict(os.environ)
    return [
        server.run(command, cwd, variables=variables, seconds=seconds)
        for command in commands
    ]


def run(command: list[str], cwd: pathlib.Path, fault: Fault | None = None) -> Outcome:
    """Runs one command, to which a fault may happen."""
    return _server().run(command, cwd, fault, dict(os.environ))


@functools.cache
def cache() -> pathlib.Path:
    """Where the commands' compiled programs are, until the session ends."""
    folder = tempfile.TemporaryDirectory(prefix="programs")
    atexit.register(folder.cleanup)
    return pathlib.Path(folder.name)


@functools.cache
def _server() -> Children:
    shared = {
        "JAX_COMPILATION_CACHE_DIR": str(cache()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    server = Children(_IMPORTED, {**shared, **os.environ})
    atexit.register(server.close)
    return server
