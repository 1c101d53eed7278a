"""Programs as fresh processes of one thread, and what each cost from start to end."""

import contextlib
import json
import os
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any

_ROOT = pathlib.Path(__file__).parents[3]
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "PJRT_NPROC": "1", "JAX_PLATFORMS": "cpu"}
_CACHES = ("JAX_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE", "JAX_ENABLE_COMPILATION")


def run(command: list[str]) -> dict[str, Any]:
    """What a program says of itself, `cpu` (user and system) and `wall`, in seconds.

    It says that in JSON on the last line of its output; a `first_step`, which it tells
    as a time of `time.time()`, becomes seconds from its start.

    Raises: ValueError: it failed, with the last line of its errors.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.time()
        with _one_core():
            process = subprocess.Popen(
                command, stdout=out, stderr=err, cwd=_ROOT, env=_environment()
            )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.time() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise ValueError(f"{' '.join(command[:3])} failed: {_last_line(err)}")
        said = json.loads(_last_line(out))
    if said["first_step"] is not None:
        said["first_step"] -= start
    return {**said, "cpu": usage.ru_utime + usage.ru_stime, "wall": wall}


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """Processes that start in the block inherit one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):  # On macOS.
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _environment() -> dict[str, str]:
    """This process's, with one thread and without a cache of compiled programs."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(_CACHES)}
    return {**own, **_ONE_THREAD}


def _last_line(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip().rpartition("\n")[2]
