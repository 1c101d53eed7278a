"""One run at a time: in this process, in others, and after one that was killed."""

import shutil
import signal
import subprocess
import sys

import pytest

from robust_jax.core import locks


def test_a_second_one_is_refused_until_the_first_lets_go(tmp_path):
    first = locks.Lock(tmp_path, "journal")
    for _ in range(2):  # Being refused takes nothing away.
        with pytest.raises(ValueError) as refused:
            locks.Lock(tmp_path, "journal")
        assert str(refused.value) == (
            f"journal={tmp_path} is in use by another run; wait for its end, or choose "
            "another folder"
        )
    first.release()
    first.release()  # Twice is once.
    locks.Lock(tmp_path, "journal").release()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_held_is_free(tmp_path):
    program = f"""
import os, pathlib, signal
from robust_jax.core import locks
held = locks.Lock(pathlib.Path({str(tmp_path)!r}), "out")
try:
    locks.Lock(pathlib.Path({str(tmp_path)!r}), "out")
except ValueError:
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=300)
    assert done.returncode == -signal.SIGKILL
    locks.Lock(tmp_path, "out").release()


def test_a_folder_that_was_removed_is_another_one(tmp_path):
    folder = tmp_path / "folder"
    first = locks.Lock(folder, "out")
    shutil.rmtree(folder)
    second = locks.Lock(folder, "out")
    first.release()
    with pytest.raises(ValueError, match="in use"):
        locks.Lock(folder, "out")
    second.release()
