"""Callbacks of a user's own net, which on a single core may wait for ever (host)."""

import math
import os
from typing import Any

import jax
import numpy as np
from jax.tree_util import Partial

from robust_jax.core import closures
from robust_jax.interop.host import is_ours

_AT_ONCE = 100 * 1024  # Bytes that XLA's CPU client copies without another worker.
_WAIT = ("pure_callback", "io_callback")


def refuse_waiting(model: Partial, image: np.ndarray, count: int) -> None:
    """Raises ValueError for a net whose callback would never end here.

    JAX copies a callback's argument on a worker of the CPU device; where there is one
    worker alone, it is the one that waits for the callback.

    Args:
        model: of one image.
        image: of which shape and type count.
        count: images that a program asks about.
    """
    if jax.default_backend() != "cpu" or workers() > 1:
        return
    program = jax.make_jaxpr(model)(image)
    for equation in closures.equations(program.jaxpr):
        name, callback = equation.primitive.name, equation.params.get("callback")
        if name not in _WAIT or is_ours(callback):
            continue
        size = sum(_bytes(value.aval) for value in equation.invars) * count
        if size > _AT_ONCE:
            raise ValueError(
                f"the model calls back to the host by {name} with "
                f"{size:,} bytes, and on a single core JAX waits for ever beyond "
                f"{_AT_ONCE:,}; pass interop.from_host(function, num_classes)"
            )


def workers() -> int:
    """How many workers XLA's CPU client has."""
    asked = os.environ.get("NPROC", "")
    if asked.isdecimal():
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _bytes(shape: Any) -> int:
    return math.prod(shape.shape) * np.dtype(shape.dtype).itemsize
