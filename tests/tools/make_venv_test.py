"""What tools/make_venv.sh says, and leaves behind, where it cannot do its work."""

import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "tools/make_venv.sh"
OLD = "#!/bin/sh\ncase $2 in *version_info*[\\<]*) exit 1;; *) echo 3.8.10;; esac\n"
NO_VENV = f'#!/bin/sh\ncase $2 in *venv*) exit 1;; esac\nexec {sys.executable} "$@"\n'


def make_venv(folder: pathlib.Path, python: str, **environment: str):
    (folder / "pins.txt").write_text("absl-py==2.5.1\n")
    return subprocess.run(
        [SCRIPT, python, ".venv", "pins.txt"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("interpreter", "words"),
    [
        (None, ("python3 is missing", "install Python 3.11")),
        (OLD, ("python3 is Python 3.8.10", "make PYTHON=python3.12 demo")),
        (NO_VENV, ("python3 has no venv module", "sudo apt install python3.")),
    ],
    ids=["missing", "old", "no venv"],
)
def test_an_unfit_python_is_one_sentence(tmp_path, interpreter, words):
    python = tmp_path / "python3"
    if interpreter is not None:
        python.write_text(interpreter)
        python.chmod(0o755)
    kept = tmp_path / ".venv/kept"
    kept.parent.mkdir()
    kept.touch()
    done = make_venv(tmp_path, str(python))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert kept.exists()  # An environment that works is not lost to a wrong PYTHON.


def test_without_a_package_index_no_half_made_environment_is_left(tmp_path):
    done = make_venv(tmp_path, sys.executable, PIP_NO_INDEX="1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("make: no package index answers")
    assert "PIP_INDEX_URL" in done.stderr
    assert not (tmp_path / ".venv").exists()
