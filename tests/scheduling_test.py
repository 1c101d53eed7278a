"""Files stay together and the longest start first, as xdist really runs them."""

import os
import re
import subprocess
import sys

import pytest

from tests import scheduling

CONFTEST = """
import pathlib
from tests import scheduling
scheduling.SECONDS = pathlib.Path("seconds.txt")
scheduling.COLLECTED = pathlib.Path("collected.txt")
pytest_plugins = ["tests.scheduling"]
"""
TWO = "def test_one():\n    pass\n\ndef test_two():\n    {}\n"
SPLIT = """
import pytest

@pytest.mark.parametrize(
    "x", [pytest.param(x, marks=pytest.mark.xdist_group(x)) for x in "pqp"]
)
def test_split(x):
    pass
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\npython_files = *_test.py\n")
    (tmp_path / "seconds.txt").write_text("a_test.py 1\nb_test.py 9\nc_test.py 15\n")
    (tmp_path / "a_test.py").write_text(TWO.format("pass"))
    (tmp_path / "c_test.py").write_text(SPLIT)

    def run(body="pass", *options):
        (tmp_path / "b_test.py").write_text(TWO.format(body))
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-v", "--dist=loadgroup", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(scheduling.HERE.parent)},
            capture_output=True,
            text=True,
        )

    return run


def test_the_longest_group_starts_first(run):
    done = run("pass", "-n1")
    ran = re.findall(r"PASSED (\w)_test.py::test_(\S*)", done.stdout)
    assert [file for file, _ in ran] == ["c", "c", "b", "b", "c", "a", "a"], done.stdout
    assert [name[:8] for _, name in ran[:2]] == ["split[p0", "split[p1"]


def test_a_run_is_written_down_where_all_is_well(run, tmp_path):
    assert run("assert False", "-n2", "--renew").returncode == 1
    assert (tmp_path / "seconds.txt").read_text().startswith("a_test.py 1\n")
    assert run("__import__('time').sleep(0.3)", "-n2", "--renew").returncode == 0
    found = scheduling.measured((tmp_path / "seconds.txt").read_text())
    assert list(found) == ["a_test.py", "b_test.py", "c_test.py"]
    assert 0.3 <= found["b_test.py"] < 3 and found["a_test.py"] < 0.3
    assert (tmp_path / "collected.txt").read_text() == "7\n"


def test_files_that_were_not_measured_take_what_the_middle_one_does():
    files = ["new", "new", "old", "old"]
    seconds = {"old": 4.0, "short": 1.0, "long": 30.0}
    found = scheduling.group_seconds(["new", "new", "x", "y"], files, seconds)
    assert found == {"new": 4.0, "x": 2.0, "y": 2.0}
