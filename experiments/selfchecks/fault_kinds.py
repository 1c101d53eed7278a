"""Damage to files at rest, and interruptions of a running command."""

import pathlib
import shutil
from collections.abc import Callable

import numpy as np

from experiments.selfchecks.fault_hooks import Fault

INTERRUPTIONS = ("kill", "stop", "term", "full")
_SIZES = (1, 500, 4_000, 20_000)  # Bytes beyond which no file can grow.


def interruption(
    kind: str, touches: int, seconds: float, rng: np.random.Generator
) -> Fault:
    """One that happens while a command runs that has so many touches and seconds."""
    if kind == "full" and rng.random() < 0.5:
        return Fault(kind, size=int(rng.choice(_SIZES)))
    if kind == "full" or rng.random() < 0.6:
        return Fault(kind, touch=int(rng.integers(1, touches + 1)))
    return Fault(kind, seconds=float(rng.uniform(0, seconds)))


def flip(files: list[pathlib.Path], rng: np.random.Generator) -> str:
    """Flips one bit of one file, by size."""
    sizes = np.array([path.stat().st_size for path in files], float)
    path = files[rng.choice(len(files), p=sizes / sizes.sum())]
    content = bytearray(path.read_bytes())
    at, bit = int(rng.integers(len(content))), int(rng.integers(8))
    content[at] ^= 1 << bit
    path.write_bytes(content)
    return f"bit {bit} of byte {at} of {path.name}"


def cut(files: list[pathlib.Path], rng: np.random.Generator) -> str:
    """Cuts a file, at times at its beginning."""
    path = files[rng.integers(len(files))]
    content = path.read_bytes()
    length = int(rng.integers(len(content))) * int(rng.random() < 0.8)
    path.write_bytes(content[:length])
    return f"{path.name} to {length} of {len(content)} bytes"


def drop(files: list[pathlib.Path], rng: np.random.Generator) -> str:
    """Removes a file."""
    path = files[rng.integers(len(files))]
    path.unlink()
    return path.name


def repeat(files: list[pathlib.Path], rng: np.random.Generator) -> str:
    """Puts one file in the place of another of the same state."""
    source, target = (files[i] for i in rng.integers(len(files), size=2))
    if source != target:
        shutil.copyfile(source, target)
    return f"{source.name} as {target.name}"


DAMAGE: dict[str, Callable[[list[pathlib.Path], np.random.Generator], str]] = {
    "flip": flip,
    "cut": cut,
    "drop": drop,
    "repeat": repeat,
}


def exchange(own: pathlib.Path, others: pathlib.Path, rng: np.random.Generator) -> str:
    """Puts state of another run, all of it or some files, in the place of one's own."""
    if rng.random() < 0.4:
        shutil.rmtree(own) if own.is_dir() else own.unlink(missing_ok=True)
        copy(others, own)
        return "all of it"
    taken = []
    for path in files_of([others]):
        if rng.random() < 0.5:
            target = own / path.relative_to(others) if others.is_dir() else own
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            taken.append(path.name)
    return ", ".join(taken) or "nothing"


def copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """A file or a directory."""
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)


def files_of(places: list[pathlib.Path]) -> list[pathlib.Path]:
    """All files that are at places or below, in order."""
    found = [path for place in places for path in (place, *place.rglob("*"))]
    return sorted({path for path in found if path.is_file()})
