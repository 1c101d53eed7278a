"""The libraries' side of `compare_peers`; runs without robust_jax.

A request asks for one attack: library, attack, arguments, channels, eps, seed. It is
run once; the answer is its seconds and, per image, the forwards and backwards that the
net has computed, or the library's error.
"""

import importlib.util
import random
import time
import warnings
from importlib import metadata
from typing import Any

import numpy as np
import torch

import serving
from library_calls import Libraries

_OPTIONAL = {"adv_lib": "adv-lib", "numba": "numba"}
_DISTRIBUTIONS = {
    "art": "adversarial-robustness-toolbox",
    "autoattack": "pyautoattack",
    "foolbox": "foolbox",
    "foolbox, JAX": "foolbox",
    "jax": "jax",
    "torchattacks": "torchattacks",
}


def begin(problem: serving.Problem) -> serving.Answer:
    """Answers requests on one problem."""
    libraries = Libraries(problem)
    return lambda request: answer(libraries, request)


def answer(libraries: Libraries, request: dict[str, Any]) -> tuple[dict, Any]:
    """What to print for a request, and the adversarial images [B, H, W, C] or None."""
    try:
        counted, attack = libraries.prepare(request)
        _seed(request["seed"])
        before = counted.forwards, counted.backwards
        start = time.perf_counter()
        found = attack()
        seconds = time.perf_counter() - start
    except Exception as error:  # A library that cannot is a row of the table.
        return {"error": f"{type(error).__name__}: {error}"}, None
    x_adv = np.asarray(found.detach() if isinstance(found, torch.Tensor) else found)
    n = len(x_adv)
    if request["library"] != "foolbox, JAX":
        channels = libraries.net.mean.shape[1]
        x_adv = x_adv[:, :channels].transpose(0, 2, 3, 1)
    return {
        "seconds": seconds,
        "forwards": (counted.forwards - before[0]) / n,
        "backwards": (counted.backwards - before[1]) / n,
    }, x_adv


def versions() -> dict[str, str]:
    """The version of every library that is there, by the name that requests give it."""
    found = {name: metadata.version(d) for name, d in _DISTRIBUTIONS.items()}
    for name, distribution in _OPTIONAL.items():
        if importlib.util.find_spec(name) is not None:
            found[name] = _version(distribution)
    return {**found, "torch": torch.__version__}


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # On the path, but not installed.
        return "of unknown version"


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (ART draws from the global state)
    torch.manual_seed(seed)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serving.serve(versions(), begin)
