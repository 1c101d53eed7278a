"""Weights that PyTorch's users save, read without running anything of the file."""

import pathlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors

from robust_jax.core import checks
from robust_jax.core.extras import needed

_BY_TORCH = (".pt", ".pth", ".ckpt", ".bin", ".th", ".tar")
_DEEP = 3  # Dictionaries inside of dictionaries that are looked into.
# Where a file holds several, as loaders of published nets choose: averages first.
_FIRST = ("ema", "average", "swa", "state_dict", "model", "net")
_DTYPES = {  # safetensors' names
    "BF16": np.dtype(jnp.bfloat16),
    "BOOL": np.dtype("bool"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I8": np.dtype("i1"),
    "I16": np.dtype("<i2"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "U8": np.dtype("u1"),
}


def read_state_dict(path: Any, *, entry: str | None = None) -> dict[str, np.ndarray]:
    """The weights of a file by name, as the file has them.

    Reads .safetensors and .npz without PyTorch, and .pt, .pth, .ckpt, .bin, .th and
    .tar as `torch.load(weights_only=True)` does, on the CPU.
    Guarantees: nothing that the file holds is run. Names are not changed: see
    `load_torch_weights` for prefixes.
    Edge cases: of a file with several sets of weights, as trainers keep them, averages
    (EMA, SWA) are taken first, then "state_dict", "model" and "net"; `entry` says
    another one. What is beside the weights, such as an epoch, is left out.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/net.npz", **{"fc.weight": np.ones((2, 3))})
        ...     rj.interop.read_state_dict(f"{folder}/net.npz")["fc.weight"].shape
        (2, 3)

    Args:
        path: of the file.
        entry: where the weights are in it, such as "ema.state_dict".
    Raises: FileNotFoundError: no such file. ValueError: a file of another kind, one
        that is cut short or damaged, or that holds no weights, or code; no such entry.
        ImportError: PyTorch is needed and missing.
    """
    checks.path("path", path)
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path={path}; expected a file with weights")
    read = _readers().get(path.suffix)
    if read is None:
        raise ValueError(
            f"path={path}; expected weights in a file that ends in "
            f"{', '.join(_readers())}"
        )
    found = dict(_weights(read(path)))
    if not found:
        raise ValueError(
            f"path={path}; the file holds no weights by name; save module.state_dict()"
        )
    return {name: _array(value) for name, value in _chosen(path, found, entry).items()}


def fitted(
    state: Mapping[str, np.ndarray], expected_names: Iterable[str]
) -> dict[str, np.ndarray]:
    """The weights under the names that a net has for them, in the net's order.

    Wrappers put the same words before all names (`module.`, `model.`): these are
    stripped, or added, when the names then are the net's, all of them. Counts of
    batches (`num_batches_tracked`) change no answer and may be missing or left over.
    An average's count of nets (`n_averaged`) is left out.

    Args:
        state: as `read_state_dict` gives it.
        expected_names: of the net.
    Raises: ValueError: other names; the first one that differs is named.
    """
    names = list(expected_names)
    state = {name: value for name, value in state.items() if name != "n_averaged"}
    counted = dict.fromkeys(name for name in names if not _is_count(name)).keys()

    def right(prefixes: tuple[str, str]) -> int:
        return len(counted & _renamed(state, *prefixes).keys())

    best = _renamed(state, *max(_prefixes(state, counted), key=right))
    missing = next((name for name in names if name in counted - best.keys()), None)
    if missing is not None:
        raise ValueError(
            f"the weights lack {missing!r}, which the net has; expected those of the "
            f"same architecture (they begin with {next(iter(best), None)!r})"
        )
    known = set(names)
    extra = (name for name in best if name not in known and not _is_count(name))
    if (more := next(extra, None)) is not None:
        raise ValueError(
            f"the weights have {more!r}, which the net lacks; expected those of the "
            "same architecture, its normalisation included"
        )
    return {name: best[name] for name in names if name in best}


def _prefixes(
    state: Mapping[str, Any], names: Collection[str]
) -> Iterator[tuple[str, str]]:
    """What may be stripped from the file's names, and what added to them."""
    yield "", ""
    yield from dict.fromkeys((cut, "") for cut in _before(state, names))
    yield from dict.fromkeys(("", cut) for cut in _before(names, state.keys()))


def _before(names: Iterable[str], ends: Collection[str]) -> Iterator[str]:
    """What is before the dots of names where an end begins."""
    for name in names:
        for dot in re.finditer(r"\.", name):
            if name[dot.end() :] in ends:
                yield name[: dot.end()]


def _renamed(state: Mapping[str, Any], strip: str, add: str) -> dict[str, Any]:
    return {add + name.removeprefix(strip): value for name, value in state.items()}


def _is_count(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _readers() -> dict[str, Callable[[pathlib.Path], Any]]:
    by_torch = dict.fromkeys(_BY_TORCH, _of_torch)
    return {".safetensors": _of_safetensors, ".npz": _of_npz, **by_torch}


def _of_safetensors(path: pathlib.Path) -> Any:
    try:
        found = safetensors.deserialize(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise _broken(path, error) from error
    for name, entry in found:
        if entry["dtype"] not in _DTYPES:
            raise ValueError(
                f"path={path}; {name!r} has numbers of type {entry['dtype']}; expected "
                f"one of {', '.join(_DTYPES)}; convert it first"
            )
    return {
        name: np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(
            entry["shape"]
        )
        for name, entry in found
    }


def _of_npz(path: pathlib.Path) -> Any:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except Exception as error:  # Of NumPy, its zip file or its headers.
        raise _broken(path, error) from error


def _of_torch(path: pathlib.Path) -> Any:
    torch = needed("torch", "torch", f"interop.read_state_dict of a {path.suffix} file")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Of its unpickler, its zip file or of memory.
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code is not None:
            raise ValueError(
                f"path={path}; the file holds code ({code[1]}) beside weights, which "
                "is not run; where it comes from, save module.state_dict() alone"
            ) from error
        raise _broken(path, error) from error


def _broken(path: pathlib.Path, error: Exception) -> ValueError:
    text = " ".join(str(error).rpartition("Unpickler error:")[2].split())
    why = text or type(error).__name__
    return ValueError(
        f"path={path}; the file is cut short, damaged or of another kind "
        f"({why[:80].rstrip('. ')}); copy it again"
    )


def _weights(content: Any, name: str = "", depth: int = _DEEP) -> Iterator[Any]:
    """The sets of weights in a file with where each is, the inner ones alone."""
    if not isinstance(content, Mapping) or not all(isinstance(k, str) for k in content):
        return
    found = [
        one
        for key, value in content.items()
        if depth and not key.startswith(("optim", "sched"))
        for one in _weights(value, f"{name}.{key}".lstrip("."), depth - 1)
    ]
    own = {key: value for key, value in content.items() if hasattr(value, "shape")}
    yield from found or ([(name, own)] if own else [])


def _chosen(path: pathlib.Path, found: dict[str, Any], entry: str | None) -> Any:
    if entry is not None:
        if entry not in found:
            raise ValueError(
                f"entry={checks.shown(entry)}; expected one of {', '.join(found)}, as "
                f"in path={path}"
            )
        return found[entry]
    if len(found) == 1:
        return next(iter(found.values()))
    for part in _FIRST:
        named = [name for name in found if part in re.split(r"[._]", name.lower())]
        if part == "state_dict":
            named = [name for name in found if name.endswith(part)]
        if len(named) == 1:
            return found[named[0]]
    raise ValueError(
        f"path={path}; the file holds several sets of weights; pass entry= one of "
        f"{', '.join(found)}"
    )


def _array(value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    value = value.detach()
    if str(value.dtype) == "torch.bfloat16":  # NumPy alone does not know it.
        return np.asarray(value.float().numpy(), jnp.bfloat16)
    return np.asarray(value.contiguous().numpy())
