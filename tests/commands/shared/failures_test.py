"""Errors of users and of the system: one sentence, an exit code, no traceback."""

import contextlib
import errno
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from robust_jax.commands.shared import failures
from robust_jax.core import records


@contextlib.contextmanager
def room_for(size):
    """No file may grow beyond a size, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def ended(capfd, error):
    """The exit code and what stands on stderr after a failure."""
    with pytest.raises(SystemExit) as end, failures.reported():
        raise error
    return end.value.code, capfd.readouterr().err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_what_the_system_refuses_is_one_sentence(capfd, number):
    code, told = ended(capfd, OSError(number, os.strerror(number), "out/record.json"))
    assert code == 2 and told.count("\n") == 1
    assert told.startswith("error: out/record.json cannot be read or written (")
    assert os.strerror(number) in told and "make room" in told


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("eps=-1;\nexpected more"), "error: eps=-1; expected more\n"),
        (FileNotFoundError("no net; train one"), "error: no net; train one\n"),
        (MemoryError("Unable to allocate 9 TiB"), "error: not enough memory (Unable"),
        (NotADirectoryError(20, "Not a directory", "a/b"), "error: a/b cannot be read"),
    ],
)
def test_other_failures(capfd, error, words):
    code, told = ended(capfd, error)
    assert (code, told.count("\n")) == (2, 1) and told.startswith(words)


def test_ctrl_c_is_130(capfd):
    assert ended(capfd, KeyboardInterrupt()) == (130, "stopped; nothing is kept\n")


def test_ctrl_c_where_work_is_kept_says_so(capfd):
    with pytest.raises(KeyboardInterrupt) as stop, failures.resumable():
        raise KeyboardInterrupt
    said = "stopped; the same command goes on from what was finished\n"
    assert ended(capfd, stop.value) == (130, said)


NOISE = np.random.default_rng(0).random(10_000)
_PRINT = (
    "from robust_jax.commands.shared import failures\n"
    "with failures.reported(): print('x' * 100_000)"
)


def test_a_full_disk_behind_the_output_is_told():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", _PRINT], stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 2
    assert done.stderr == (
        b"error: the output cannot be read or written (No space left on device); make "
        b"room, or give another place; what was finished before is as it was\n"
    )


def test_a_reader_that_leaves_ends_it_quietly():
    command = f'{sys.executable} -c "{_PRINT}" | head -c 1; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("x141\n", "")


_WRITES = {
    "text": lambda path: path.write_text("x" * 10_000),
    "arrays": lambda path: np.savez(path, a=np.zeros(10_000), b=np.zeros(10)),
    "packed": lambda path: np.savez_compressed(path, a=NOISE),
}


def _written(path, kind):
    with records.atomic_path(path) as temporary:
        _WRITES[kind](temporary)


@pytest.mark.parametrize("kind", _WRITES)
def test_a_file_that_finds_no_room_is_named_and_stays_as_it_was(kind, tmp_path):
    path = tmp_path / "examples.npz"
    path.write_bytes(b"before")
    with room_for(5_000), pytest.raises(OSError, match="too large") as caught:
        _written(path, kind)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]
