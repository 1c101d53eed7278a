"""What all tests run under: the CPU unless a platform is given, fixed examples."""

import gc
import os
import sys

import pytest

# Before anything imports JAX, and for the processes that tests start too. Compiling is
# most of the suite's time, and half of that is optimisation: programs are not
# optimised, a fused loop goes to LLVM without MLIR's passes, which take a third of
# what is left, a program is one module of LLVM's, and programs of earlier runs and
# other processes are kept. `make test-full` compiles all of them, as users do.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0"
    " --xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters"
    " --xla_cpu_parallel_codegen_split_count=1",
)
if sys.prefix != sys.base_prefix and os.access(sys.prefix, os.W_OK):
    # JAX's key of a program has JAX's version, the flags and what the processor can do.
    programs = os.path.join(sys.prefix, "jax-cache-tests")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", programs)
    # Else PyTorch makes a folder among the temporary files.
    inductor = os.path.join(sys.prefix, "torchinductor")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", inductor)
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime's, with a file there.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

from hypothesis import settings

from robust_jax.core import room

pytest_plugins = ["tests.chromium", "tests.scheduling"]

# Of a suite's millions of objects most stay: Python looks through them less often.
gc.set_threshold(100_000, 50, 100)

settings.register_profile("fixed", derandomize=True, deadline=None)
# `make test-full` draws anew, from a seed that it prints.
settings.register_profile("anew", derandomize=False, deadline=None, database=None)
settings.load_profile("fixed")


def pytest_collection_finish():
    gc.freeze()  # The modules and the tests stay.


@pytest.fixture(autouse=True)
def _programs_leave_room_for_others():
    """Workers of the suite share the machine's memory."""
    yield
    room.leave_room(20_000)
