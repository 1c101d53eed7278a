"""Wheel and sdist, and environments into which the wheel is installed, offline.

What `pip install` would bring is linked from the environment of the tests: the
packages that the wheel's metadata asks for, and those that these ask for, each in a
version that is allowed. The wheel itself is installed by pip. `tools/release_test.sh`
does the same from a package index.
"""

import email
import functools
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).parents[2]
ADDRESS = "https://example.org/them/robust_jax"
_NOT_SOURCE = (".git", ".venv*", "out", "build", "dist", "__pycache__", "*.egg-info")


def built(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """The sdist of a copy of the tree, and the wheel that is built from that.

    As the release makes them, for a repository of an address.
    """
    ignored = shutil.ignore_patterns(*_NOT_SOURCE, ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, folder / "tree", ignore=ignored)
    _run([sys.executable, "tools/publish_links.py", ADDRESS, "v0"], folder / "tree")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", "."]
    _run([*command, "tree"], folder)
    shutil.rmtree(folder / "tree")
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def metadata_of(wheel: pathlib.Path) -> email.message.Message:
    """The METADATA of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def wanted(
    wheel: pathlib.Path, extras: Iterable[str] = (), others: Iterable[str] = ()
) -> dict[str, metadata.Distribution]:
    """What a wheel with some extras, and others beside it, needs, by name.

    Raises: AssertionError: a version that is installed here is not allowed.
    """
    own = metadata_of(wheel)
    lines = own.get_all("Requires-Dist")
    todo = [Requirement(line) for line in [*_asked(lines, extras), *others]]
    found, done = {}, set()
    while todo:
        one = todo.pop()
        if str(one) in done:
            continue
        done.add(str(one))
        if canonicalize_name(one.name) == canonicalize_name(own["Name"]):
            todo += [Requirement(line) for line in _asked(lines, one.extras)]
            continue
        there = metadata.distribution(one.name)
        assert one.specifier.contains(there.version, prereleases=True), one
        found[canonicalize_name(one.name)] = there
        todo += [Requirement(t) for t in _asked(there.requires or (), one.extras)]
    return found


def brought(wheel: pathlib.Path, extra: str) -> set[str]:
    """The packages of an extra; what is not installed here is known by name alone."""
    try:
        return set(wanted(wheel, [extra]))
    except metadata.PackageNotFoundError:
        lines = metadata_of(wheel).get_all("Requires-Dist")
        return {canonicalize_name(Requirement(r).name) for r in _asked(lines, [extra])}


def _asked(lines: Iterable[str], extras: Iterable[str]) -> list[str]:
    """The requirements that count with these extras, without their markers."""
    counted = []
    for line in lines:
        one = Requirement(line)
        marker, one.marker = one.marker, None
        if marker is None or any(marker.evaluate({"extra": e}) for e in ("", *extras)):
            counted.append(str(one))
    return counted


class Environment:
    """A virtual environment in which the wheel is installed.

    Args:
        folder: where it will be.
        wheel: what is installed.
        packages: what `wanted` found.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        wheel: pathlib.Path,
        packages: dict[str, metadata.Distribution],
    ) -> None:
        self.folder = folder
        _run([sys.executable, "-m", "venv", "--without-pip", folder], folder.parent)
        (site,) = folder.glob("lib/python*/site-packages")
        for package in packages.values():
            _link(package, site)
        pip = [sys.executable, "-m", "pip", "--python", self.bin / "python"]
        options = ["--no-deps", "--no-index", "--no-compile", "--quiet"]
        _run([*pip, "install", *options, wheel], folder.parent)

    @property
    def bin(self) -> pathlib.Path:
        """Where its programs are."""
        return self.folder / "bin"

    def run(
        self, cwd: pathlib.Path, program: str, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs one of its programs outside the checkout."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PY")}
        return subprocess.run(
            [self.bin / program, *arguments],
            cwd=cwd,
            env={**kept, **variables},
            capture_output=True,
            text=True,
        )


def _link(package: metadata.Distribution, site: pathlib.Path) -> None:
    """Links folders whole, but for those that several packages share."""
    for file in package.files or ():
        top = file.parts[0]
        if top in ("..", "__pycache__"):  # Programs, and what Python compiles anew.
            continue
        is_shared = len(set(owners().get(top, ()))) > 1
        target = site / (file if is_shared else top)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            source = package.locate_file(file if is_shared else top)
            target.symlink_to(pathlib.Path(source))


@functools.cache
def owners() -> Mapping[str, list[str]]:
    """The packages of each importable name of the tests' environment."""
    return metadata.packages_distributions()


def _run(command: list[str | os.PathLike[str]], cwd: pathlib.Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
