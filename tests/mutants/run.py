"""Does the suite notice mistakes? Makes them, one at a time, in a copy of the tree.

    python -m tests.mutants.run [--only=ID,...] [--package=attacks] [--json=PATH]

For each mutant of the table the tests that are mapped to it run in a process of their
own. A mutant is killed if one of them fails; it lives if all pass. Exits with 1 if one
lives that no argument calls equivalent, if one that is called so is killed, or if tests
did not run to such an end: they took too long, or the mutant cannot be imported.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

from tests.mutants.table import ROOT, Mutant, mutated, read

KILLED, LIVES, LATE, BROKEN = "killed", "lives", "late", "broken"
_VERDICTS = {0: LIVES, 1: KILLED}  # By pytest's exit status; all else is no verdict.
_LEFT_OUT = (".*", "out", "build", "__pycache__", "*.egg-info")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", re.MULTILINE)


class Outcome(NamedTuple):
    """What became of one mutant."""

    mutant: Mutant
    verdict: str
    seconds: float
    noticed_by: str  # the first test that failed, or ""

    @property
    def is_as_expected(self) -> bool:
        """Killed, or alive with an argument why."""
        return self.verdict == (LIVES if self.mutant.equivalent else KILLED)


def copy_of(tree: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """The tree without environments and caches, in a folder."""
    copy = folder / "tree"
    shutil.copytree(tree, copy, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    return copy


def outcome(mutant: Mutant, copy: pathlib.Path, cache: str, limit: float) -> Outcome:
    """Changes the copy, runs the tests, and changes it back."""
    path = copy / mutant.file
    original, began = path.read_bytes(), time.monotonic()
    try:
        _write(path, mutated(mutant, copy).encode())
        verdict, noticed_by = _tested(mutant, copy, cache, limit)
    finally:
        _write(path, original)
    return Outcome(mutant, verdict, time.monotonic() - began, noticed_by)


def report(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as a table for the terminal."""
    head = ("mutant", "kind", "verdict", "s", "noticed by")
    rows = [head, *(_cells(each) for each in outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    good = sum(each.is_as_expected for each in outcomes)
    return "\n".join([*lines, f"{good} of {len(outcomes)} as expected"])


def record(outcomes: Sequence[Outcome]) -> list[dict[str, str | float]]:
    """The outcomes as JSON's types."""
    return [
        {
            "mutant": each.mutant.name,
            "file": each.mutant.file,
            "kind": each.mutant.kind,
            "verdict": each.verdict,
            "expected": LIVES if each.mutant.equivalent else KILLED,
            "seconds": round(each.seconds, 1),
            "noticed_by": each.noticed_by,
        }
        for each in outcomes
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the chosen mutants; the exit status."""
    chosen, options = _arguments(argv)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = copy_of(options.tree, pathlib.Path(folder))
        cache = os.environ.get("JAX_COMPILATION_CACHE_DIR") or f"{folder}/compiled"
        outcomes = []
        for each in chosen:
            outcomes.append(outcome(each, copy, cache, options.limit))
            sys.stdout.write("  ".join(_cells(outcomes[-1])) + "\n")
            sys.stdout.flush()
    sys.stdout.write(f"\n{report(outcomes)}\n")
    if options.json:
        options.json.write_text(json.dumps(record(outcomes), indent=1) + "\n")
    return 0 if all(each.is_as_expected for each in outcomes) else 1


def _arguments(argv: Sequence[str] | None) -> tuple[list[Mutant], argparse.Namespace]:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.run")
    parser.add_argument("--only", help="ids with commas between; all by default")
    parser.add_argument("--package", help="of the library, or experiments")
    parser.add_argument("--json", type=pathlib.Path, help="where to write a record")
    parser.add_argument("--limit", type=float, default=300, help="seconds of a mutant")
    parser.add_argument("--tree", type=pathlib.Path, default=ROOT, help="the checkout")
    options = parser.parse_args(argv)
    mutants = read(options.tree / "tests/mutants/table")
    names = [each.name for each in mutants] if options.only is None else []
    names = names or options.only.split(",")
    unknown = set(names) - {each.name for each in mutants}
    chosen = [
        each
        for each in mutants
        if each.name in names and options.package in (None, each.package)
    ]
    if unknown or not chosen:
        parser.error(f"no such mutant: {', '.join(unknown) or options.package}")
    return chosen, options


def _tested(mutant: Mutant, copy: pathlib.Path, cache: str, limit: float):
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy),  # Before the checkout that is installed.
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, "-m", "not full", *mutant.tests],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return LATE, ""
    failed = _FAILED.search(done.stdout)
    verdict = _VERDICTS.get(done.returncode, BROKEN)
    return verdict, failed[1] if failed else ""


def _write(path: pathlib.Path, content: bytes) -> None:
    """Python knows compiled files by time in seconds and size: both may be equal."""
    path.write_bytes(content)
    pathlib.Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def _cells(each: Outcome) -> tuple[str, ...]:
    verdict = each.verdict + (", equivalent" if each.mutant.equivalent else "")
    verdict += "" if each.is_as_expected else " (!)"
    seconds = f"{each.seconds:.1f}"
    return each.mutant.name, each.mutant.kind, verdict, seconds, each.noticed_by


if __name__ == "__main__":
    sys.exit(main())
