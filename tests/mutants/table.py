"""The mutants: plausible mistakes in the library, and the tests that must notice them.

One TOML file per package under tests/mutants/table, a table per mutant, by its name:

    file = "robust_jax/core/margin.py"
    old = "..."     # exact text, once in the file, as '''literal''' where it has lines
    new = "..."
    kind = "sign"
    tests = ["tests/core/margin_test.py"]  # arguments of pytest
    equivalent = "..."  # only where no test can notice: the argument why
"""

import pathlib
import tomllib
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[2]
KINDS = {
    "sign",
    "projection",
    "best-tracking",
    "box",
    "key",
    "index",
    "order",
    "off-by-one",
    "dtype",
    "resume",
    "guard",  # A test for a rare case, or what is done in it, that is not there.
}


class Mutant(NamedTuple):
    """One change of one file."""

    name: str
    file: str  # relative to the root, with /
    old: str
    new: str
    kind: str
    tests: tuple[str, ...]  # What pytest is given.
    equivalent: str = ""  # Why no test can notice, where none can.

    @property
    def package(self) -> str:
        """The package of the library, "experiments" or "docs"."""
        first, second, *_ = self.file.split("/")
        return second if first == "robust_jax" else first


def read(folder: pathlib.Path = ROOT / "tests/mutants/table") -> list[Mutant]:
    """All mutants, in the order of their files."""
    return [
        Mutant(name, **{**fields, "tests": tuple(fields["tests"])})
        for path in sorted(folder.glob("*.toml"))
        for name, fields in tomllib.loads(path.read_text()).items()
    ]


def mutated(mutant: Mutant, root: pathlib.Path = ROOT) -> str:
    """The text of the mutant's file with the change.

    Raises: ValueError: the old text is not there exactly once, or is the new one.
    """
    text = (root / mutant.file).read_text()
    count = text.count(mutant.old)
    if count != 1 or mutant.old == mutant.new:
        raise ValueError(
            f"{mutant.name}: {mutant.old!r} occurs {count} times in {mutant.file}; "
            "expected once, and another new text"
        )
    return text.replace(mutant.old, mutant.new)
