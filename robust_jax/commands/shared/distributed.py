"""Flags that join several processes, on one host or many, into one training."""

from typing import Any

import jax
from absl import flags

_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Join the processes that a cluster (TPU, SLURM) started."
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "HOST:PORT of process 0, to join by hand."
)
_PROCESSES = flags.DEFINE_integer("processes", None, "How many, with --coordinator.")
_PROCESS = flags.DEFINE_integer("process", None, "Which one this is, from 0 on.")


def join() -> None:
    """Joins the others, if flags say so; before anything asks for devices.

    Raises: ValueError: a coordinator without numbers.
    """
    if _COORDINATOR.value is None:
        if _DISTRIBUTED.value:
            jax.distributed.initialize()
        return
    numbers = {"processes": _PROCESSES.value, "process": _PROCESS.value}
    for name, value in numbers.items():
        if value is None:
            raise ValueError(f"{name}=None with --coordinator; pass --{name}")
    more: dict[str, Any] = {}
    if _COORDINATOR.value.startswith("127.0.0.1:"):  # Else it listens everywhere.
        more["coordinator_bind_address"] = _COORDINATOR.value
    jax.distributed.initialize(
        _COORDINATOR.value, _PROCESSES.value, _PROCESS.value, **more
    )


def is_first() -> bool:
    """Whether this process prints and writes results."""
    return jax.process_index() == 0
