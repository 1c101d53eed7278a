"""Where does the library differ from the papers, and why?

    python -m experiments.list_differences

Reads the sentences "Differs from ... in: ..." that follow the papers under
"References:" in docstrings, and renews the page of the documentation.
"""

import ast
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from absl import flags

from robust_jax.commands.shared import common, pages

_PARTS = ("robust_jax", "experiments")
ROOT = pathlib.Path(__file__).parents[1]
_SENTENCE = re.compile(
    r"References: (.*?) Differs(?: from ([^:]*?),?)? in(?:: | (?=nothing))(.*)"
)
_PARAGRAPH = re.compile(r"^References:.*?(?=\n\n|\nReferences:|\Z)", re.DOTALL | re.M)
_HEAD = """# Differences from papers

Written by `python -m experiments.list_differences`, from the docstrings.

"""


class Difference(NamedTuple):
    """What one docstring says."""

    where: str
    paper: str
    other: str  # that it differs from, the paper if empty
    what: str


def main(argv: list[str]) -> None:
    """Writes the page."""
    pages.write(pages.MARKDOWN.value or ROOT / "docs" / "differences.md", markdown())


def markdown() -> str:
    """The page of the documentation."""
    return _HEAD + pages.table(["where", "paper", "differs from", "in"], found())


def found() -> list[Difference]:
    """All differences, by name; none where a docstring says "nothing"."""
    files = (file for part in _PARTS for file in (ROOT / part).rglob("*.py"))
    return sorted(one for file in files for one in differences(file))


def differences(file: pathlib.Path) -> Iterator[Difference]:
    """Those of a file, its functions and classes."""
    *packages, module = file.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        # An attack's room is not part of its public name.
        room = packages[1:2] if packages[0] == "robust_jax" else packages
        where = ".".join([*room, getattr(node, "name", module)])
        for said in sentences(ast.get_docstring(node) or ""):
            yield Difference(f"`{where}`", *said)


def sentences(docstring: str) -> Iterator[tuple[str, ...]]:
    """Paper, what it differs from and in what, as a docstring says it."""
    for paragraph in _PARAGRAPH.findall(docstring):
        match = _SENTENCE.fullmatch(" ".join(paragraph.split()))
        if match and match[3].rstrip(".") != "nothing":
            yield tuple(part or "" for part in match.groups())


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    flags.adopt_module_key_flags(pages)
    common.run_main(main)
