"""What a run leaves behind: the record, where it ran, and files written whole.

A record is JSON by RFC 8259, which has no NaN and no infinity. They are written as the
strings "NaN", "Infinity" and "-Infinity", which `float` reads back; `null` always means
"no value", so that "diverged" and "not measured" stay apart.
"""

import contextlib
import datetime
import json
import math
import numbers
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any, TypedDict

import jax
import numpy as np

from robust_jax.core import checks
from robust_jax.core.metrics import Median, Proportion

SCHEMA = 2
_PACKAGES = ("robust_jax", "jax", "jaxlib", "flax", "optax", "numpy")
_THREAD_VARIABLES = ("PJRT_NPROC", "NPROC")  # XLA:CPU's thread pool, in this order.
_VARIABLES = ("XLA_FLAGS", *_THREAD_VARIABLES)
_JAX_SETTINGS = ("default_matmul_precision", "enable_x64")

PathLike = str | os.PathLike[str]


class Figure(TypedDict):
    """A figure beside a record."""

    name: str  # such as "examples"
    title: str
    caption: str  # describes the picture to those who do not see it
    file: str  # relative to the record's folder, with forward slashes


class Record(TypedDict):
    """The schema of record.json, version 2; a plain dict at run time."""

    schema: int  # SCHEMA
    experiment: str  # such as "quickstart"
    title: str  # of the page, one line
    summary: str  # one to three sentences, the answer first
    command: str  # what to type to run it again
    flags: dict[str, Any]  # every flag with its value, defaults included
    environment: dict[str, Any]  # environment()
    rows: list[dict[str, Any]]  # the table, one flat mapping per line
    series: dict[str, Any]  # curves and histories by name, as the figures take them
    notes: list[str]  # sentences for the reader: failed checks, partial results
    figures: list[Figure]
    seconds: float  # wall time of the whole command, earlier sittings included


def environment() -> dict[str, Any]:
    """What can change the numbers of a run, as one flat mapping ready for a record.

    Starts JAX's back end if it has not started.
    Edge cases: a package that is not installed has version None; outside a git checkout
    of this library `git_commit` and `git_dirty` are None.

    Returns: versions (of python, robust_jax, jax, jaxlib, flax, optax, numpy), commit,
        back end and devices, CPU model and threads, numerical settings of JAX, the
        environment variables that XLA heeds, platform and UTC date.
    """
    devices = jax.devices()
    commit, dirty = _git_state()
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "git_commit": commit,
        "git_dirty": dirty,
        "backend": jax.default_backend(),
        "device_kind": devices[0].device_kind,
        "device_count": len(devices),
        "process_count": jax.process_count(),
        "cpu_model": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "cpu_threads": _cpu_threads(),
        **{name: getattr(jax.config, f"jax_{name}") for name in _JAX_SETTINGS},
        "variables": {k: os.environ[k] for k in _VARIABLES if k in os.environ},
        "platform": platform.platform(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def plain(value: Any) -> Any:
    """The same data in JSON's types only, a copy.

    NumPy and JAX scalars and arrays become numbers and nested lists, tuples lists,
    paths and whole-number keys strings, a `Proportion` or a `Median` its mapping.
    Edge cases: NaN and infinities become "NaN", "Infinity", "-Infinity".
    Raises: ValueError: something else, named by where it is.

    >>> rj.core.records.plain({"accuracy": np.float32(0.5), "loss": np.nan})
    {'accuracy': 0.5, 'loss': 'NaN'}
    """
    return _plain(value, "")


def write_json(path: PathLike, value: Any) -> None:
    """Writes `plain(value)` to a JSON file, whole or not at all.

    Guarantees: valid JSON (RFC 8259); an existing file stays as it was on any failure.
    Raises: ValueError: data that JSON cannot hold, named by where they are.
    """
    text = json.dumps(plain(value), indent=1, allow_nan=False, ensure_ascii=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: PathLike) -> Any:
    """The content of a JSON file; non-finite numbers stay the strings of `plain`.

    Raises: ValueError: the file is missing, or is not JSON.
    """
    try:
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"path={os.fspath(path)}; expected a JSON file ({error.strerror}); "
            "check the name"
        ) from error
    except (ValueError, RecursionError) as error:  # The latter of deep nesting.
        raise ValueError(
            f"path={os.fspath(path)}; expected JSON ({error}); write the file again"
        ) from error


def prepare_out_dir(path: PathLike, name: str = "out") -> pathlib.Path:
    """Makes a directory, parents too, and proves that it can be written.

    Meant for the start of a run, so that hours of work do not end in an error; errors
    name the argument by `name`.
    Raises: ValueError: no name, a file is in the way, or writing is refused.
    """
    names_a_folder(name, path)
    out = pathlib.Path(path)
    try:
        out.mkdir(parents=True, exist_ok=True)
        # Permission bits do not tell (root, read-only mounts, no inodes); trying does.
        tempfile.TemporaryFile(dir=out).close()
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(
            f"{name}={out}; expected a directory, found a file in its place; "
            "choose another directory or move that file"
        ) from error
    except OSError as error:
        raise ValueError(
            f"{name}={out}; expected a directory that can be written "
            f"({error.strerror}); choose another one or change its permissions"
        ) from error
    return out


def names_a_folder(name: str, path: Any) -> None:
    """Raises ValueError unless `path` is a path that is not empty: "" is no folder."""
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ValueError(
            f"{name}={checks.shown(path)}; expected the name of a directory"
        )


@contextlib.contextmanager
def atomic_path(path: PathLike) -> Iterator[pathlib.Path]:
    """A temporary name beside `path`, moved onto it if the block succeeds.

    The suffix is kept, since NumPy and matplotlib go by it.
    Guarantees: a reader sees the old file or the new one, never a part; on any failure,
    Ctrl-C included, the old file stays and the temporary one is removed.

    Args:
        path: a file in an existing directory.
    """
    final = pathlib.Path(path)
    temporary = final.with_name(f".{final.stem}.{uuid.uuid4().hex}{final.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(
                file.fileno()
            )  # Else a power cut can leave the name, but no bytes.
        os.replace(temporary, final)
    except OSError as error:
        if error.filename in (None, os.fspath(temporary)):  # None: writing failed.
            error.filename = os.fspath(final)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return _finite_or_name(float(value))
    if isinstance(value, Proportion | Median):
        return _plain(value.to_json(), where)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {_key(k, where): _plain(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        array = np.asarray(value)
        if array.dtype.kind in "biufV":  # V: bfloat16 and its kin.
            return _plain(array.tolist(), where)
    raise ValueError(
        f"{where.lstrip('.') or 'value'}={checks.shown(value)}; expected data that "
        f"JSON can hold, found {type(value).__name__}; convert it first"
    )


def _finite_or_name(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _key(key: Any, where: str) -> str:
    if isinstance(key, str):
        return str(key)
    if isinstance(key, numbers.Integral) and not isinstance(key, bool):
        return str(int(key))
    raise ValueError(
        f"{where.lstrip('.') or 'value'} has the key {checks.shown(key)}; expected a "
        "string or a whole number; rename it"
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # Imported from a checkout, say.
        return getattr(sys.modules.get(name), "__version__", None)


def _git_state() -> tuple[str | None, bool | None]:
    """Commit and dirty flag of the checkout whose root holds this package."""
    root = pathlib.Path(__file__).resolve().parents[2]
    top = _git(root, "rev-parse", "--show-toplevel")
    # Installed in an environment inside somebody's repository: not our commit.
    if top is None or pathlib.Path(top).resolve() != root:
        return None, None
    commit, status = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--short")
    return commit, None if commit is None or status is None else status != ""


def _git(root: pathlib.Path, *arguments: str) -> str | None:
    # A hook's GIT_DIR would point to another repository.
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        run = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            check=True,
            env=clean,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip()


def _cpu_model() -> str | None:
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or None


def _cpu_threads() -> int | None:
    """The threads XLA:CPU computes with: results depend on them in the last bits."""
    for name in _THREAD_VARIABLES:
        if os.environ.get(name, "").isdigit() and int(os.environ[name]) > 0:
            return int(os.environ[name])
    if hasattr(os, "sched_getaffinity"):  # Not on macOS.
        return len(os.sched_getaffinity(0))
    return os.cpu_count()
