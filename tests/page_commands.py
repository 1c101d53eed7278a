"""How each command that the pages show is tried: tests/page_commands.txt."""

import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
FILE = pathlib.Path(__file__).with_suffix(".txt")
_MODULE = re.compile(r"python -m ([\w.]+)")
_TARGET = re.compile(r"^make (?:[A-Z]+=\S+ )*([\w-]+)")


class Trial(NamedTuple):
    """How a command is tried: a word and what stands behind it."""

    how: str
    of: str
    command: str


def trials() -> dict[str, Trial]:
    """The lines of the table by their commands."""
    found = {}
    for line in FILE.read_text().splitlines():
        if not line.startswith("#"):
            how, command = line.split(" | ", 1)
            word, _, of = how.partition(" ")
            found[command] = Trial(word.rstrip(":"), of, command)
    return found


def unknown_parts(command: str) -> Iterator[str]:
    """Modules and targets of make that a command names and that are not there."""
    targets = (ROOT / "Makefile").read_text()
    for name in _TARGET.findall(command):
        if not re.search(rf"^{name}:", targets, re.MULTILINE):
            yield name
    for module in _MODULE.findall(command):
        path = ROOT / module.replace(".", "/")
        is_placeholder = module.rpartition(".")[2].isupper()
        is_there = path.is_dir() or path.with_suffix(".py").exists()
        if not (is_there or is_placeholder or module == "pytest"):
            yield module


def run(trial: Trial, folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """Runs a command in a shell, where `python` and `pip` are those of this process."""
    programs = pathlib.Path(sys.executable).parent
    variables = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        trial.of if trial.how == "as" else trial.command,
        shell=True,
        executable="/bin/bash",
        cwd=ROOT if trial.how == "here" else folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=1800,
    )
