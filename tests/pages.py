"""Runs what README.md and docs show, as printed: blocks of Python and of a shell.

python -m tests.pages              # all pages: what `make docs-test` runs
python -m tests.pages README.md    # one

Blocks of Python of a page run one after another in one namespace, in an empty folder.
What stands in a block ```text behind one is compared with what it prints: ... stands
for anything, and numbers are compared to the digits written.
"""

import contextlib
import doctest
import io
import os
import pathlib
import re
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests import page_commands, page_files
from tests.doctests_test import Checker

os.environ.setdefault("MPLBACKEND", "agg")  # Figures of pages open no window.

ROOT = pathlib.Path(__file__).parents[1]
PYTHON = ("python", "{code-cell} ipython3", "{code-cell} python")
SHELL = ("sh", "")
_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_CALLED = re.compile(
    r"(python -m|make|pip|\.venv/bin/\S+|robust-jax(?= )"
    r"|\.ci/run|pre-commit|git clone)\b"
)


_OPTIONS = re.compile(r"\A(?::.*\n)+\n?|\A---\n(?s:.*?)^---\n", re.MULTILINE)
# A page that goes on from another one says so.
BEFORE = {"docs/guide.md": ("README.md",), "CONTRIBUTING.md": ("README.md",)}
FILES = {
    "docs/bring-your-model.md": page_files.write,
    "CONTRIBUTING.md": page_files.write_bytes,
}


class Block(NamedTuple):
    """What stands between two fences: the word behind the first, and where it is."""

    kind: str
    text: str
    line: int


def pages() -> list[str]:
    """The pages by their paths, but for the changelog, which tells of the past."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    names = sorted(str(path.relative_to(ROOT)) for path in found)
    return [name for name in names if name != "CHANGELOG.md"]


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = (ROOT / page).read_text()
    return [
        Block(
            found[2].strip(),
            textwrap.dedent(found[3]),
            text.count("\n", 0, found.start()) + 1,
        )
        for found in _FENCE.finditer(text)
    ]


def commands(page: str) -> list[str]:
    """What a page tells people to type into a shell: in blocks, cells and sentences."""
    prose = _FENCE.sub("", (ROOT / page).read_text())
    inline = [code for code in _CODE.findall(prose) if _CALLED.match(code)]
    lines = []
    for block in blocks(page):
        if block.kind in SHELL:
            lines += block.text.replace("\\\n", " ").splitlines()
    typed = (line.partition("  #")[0].partition(" # ")[0] for line in lines)
    return [" ".join(line.split()) for line in [*typed, *inline] if line.strip()]


def run(
    page: str, names: dict[str, Any], shorter: Mapping[str, str] | None = None
) -> Iterator[tuple[Block, str]]:
    """Runs the blocks of Python in `names`, and yields each with what it printed.

    Args:
        shorter: texts to put in the place of others; each must be on the page.
    Raises: ValueError: a text that the page has no more. AssertionError: a block
        ```text that does not show what was printed.
    """
    shown, printed = blocks(page), ""
    whole = "".join(block.text for block in shown if block.kind in PYTHON)
    for old in shorter or ():
        if old not in whole:
            raise ValueError(f"{page} has no {old!r} any more")
    for block in shown:
        if block.kind == "text" and not shows(block.text, printed):
            raise AssertionError(
                f"{page}:{block.line} shows something else:\n{printed}"
            )
        if block.kind in PYTHON:
            printed = _executed(page, block, names, shorter or {})
            yield block, printed


def _executed(
    page: str, block: Block, names: dict[str, Any], shorter: Mapping[str, str]
) -> str:
    """What a block prints, options of its cell apart."""
    code = _OPTIONS.sub("", block.text)
    for old, new in shorter.items():
        code = code.replace(old, new)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile("\n" * block.line + code, str(ROOT / page), "exec"), names)
    return said.getvalue()


def shows(wanted: str, printed: str) -> bool:
    """Whether a page's output is what was printed."""
    return Checker().check_output(wanted, printed, doctest.ELLIPSIS)


@contextlib.contextmanager
def place(page: str) -> Iterator[pathlib.Path]:
    """A folder with the files that a page's blocks read, as the working directory."""
    path = list(sys.path)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        sys.path.insert(0, folder)
        sys.modules.pop("mynets", None)  # Another page's.
        FILES.get(page, lambda: None)()
        try:
            yield pathlib.Path(folder)
        finally:
            sys.path[:] = path
            sys.modules.pop("mynets", None)


def main(asked: list[str]) -> int:
    """Runs pages as printed, and says what each block and command took."""
    failed = 0
    for page in asked or pages():
        try:
            with place(page) as folder:
                for what, seconds in _all_of(page, folder):
                    print(f"{page}: {what}: {seconds:.1f} s", flush=True)
        except Exception as error:
            failed += 1
            print(f"{page}: {type(error).__name__}: {error}", file=sys.stderr)
    return min(failed, 1)


def _all_of(page: str, folder: pathlib.Path) -> Iterator[tuple[str, float]]:
    """Runs a page's blocks, then its commands; yields the seconds of each."""
    names: dict[str, Any] = {}
    for before in BEFORE.get(page, ()):
        list(run(before, names))
    start = time.monotonic()
    for block, _ in run(page, names):
        yield f"line {block.line}", time.monotonic() - start
        start = time.monotonic()
    for trial in map(page_commands.trials().__getitem__, dict.fromkeys(commands(page))):
        if trial.how in ("run", "here", "as"):
            done = page_commands.run(trial, folder)
            if done.returncode:
                raise AssertionError(
                    f"{trial.command} ended by {done.returncode}:\n{done.stderr}"
                )
            yield trial.command, time.monotonic() - start
            start = time.monotonic()


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.exit(main(sys.argv[1:]))
