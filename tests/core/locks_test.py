"""One run at a time: in this process, in others, and after one that was killed."""

import os
import signal
import subprocess
import sys

import pytest

from robust_jax.core import locks


def test_a_second_one_is_told_who_is_there_until_the_first_lets_go(tmp_path):
    first = locks.Lock(tmp_path, "journal")
    for _ in range(2):  # Being refused takes nothing away.
        with pytest.raises(ValueError) as refused:
            locks.Lock(tmp_path, "journal")
        assert str(refused.value) == (
            f"journal={tmp_path} is in use by another run (process {os.getpid()}); "
            "wait for its end, or choose another folder"
        )
    first.release()
    first.release()  # Twice is once.
    assert list(tmp_path.iterdir()) == []
    locks.Lock(tmp_path, "journal").release()


def test_what_a_killed_process_held_is_free(tmp_path):
    program = f"""
import os, pathlib, signal
from robust_jax.core import locks
held = locks.Lock(pathlib.Path({str(tmp_path)!r}), "out")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=300)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    locks.Lock(tmp_path, "out").release()


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="out=.*missing; expected a directory that"):
        locks.Lock(tmp_path / "missing", "out")
