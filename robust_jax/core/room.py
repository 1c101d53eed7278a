"""Room for compiled programs: a process may hold only so many (host)."""

import gc
import pathlib

import jax

from robust_jax.core import memo

_MAPS = pathlib.Path("/proc/self/maps")  # Linux's own; elsewhere nothing is done.
_MOST = 40_000


def leave_room(most: int = _MOST) -> None:
    """Drops all compiled programs where the process has more maps of memory.

    XLA keeps three for each program, and Linux allows a process 65,530; the next
    program ends it by a segmentation fault. An evaluation makes about a hundred
    programs for each model of another architecture. Whatever is needed again is
    compiled again, to the same numbers.

    Args:
        most: maps that may stay; by default two thirds of what Linux allows.
    """
    if _MAPS.exists() and _MAPS.read_bytes().count(b"\n") > most:
        jax.clear_caches()
        memo.forget()
        gc.collect()
