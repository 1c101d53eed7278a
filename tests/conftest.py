"""What all tests run under: the CPU unless a platform is given, fixed examples."""

import gc
import os
import pathlib

import pytest

# Before anything imports JAX. Compiling is most of the suite's time, and half of that
# is optimisation; `make test-full` and processes of their own compile as users do.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
from hypothesis import settings

settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")

MAPS = pathlib.Path("/proc/self/maps")  # Linux's own.


@pytest.fixture(autouse=True)
def _programs_leave_room_for_others():
    """A compiled program keeps three maps of memory, of which Linux allows 65,530."""
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()
        gc.collect()
