"""Training that goes on where it stopped: checkpoints, signals, messages."""

import contextlib
import pathlib
import shutil
import sys
from collections.abc import Iterator

from absl import flags, logging

from robust_jax import train
from robust_jax.commands.shared import distributed
from robust_jax.core import checks
from robust_jax.train import devices
from robust_jax.train.checkpointing import OrbaxCheckpointer, stopping_on_signals

_SAVE_EVERY = flags.DEFINE_integer("save_every", 500, "Steps between checkpoints.")
_KEEP = flags.DEFINE_integer("keep", 2, "Newest checkpoints that stay.")
_RESTART = flags.DEFINE_bool("restart", False, "Delete OUT's checkpoints; start anew.")


def check_flags() -> None:
    """Raises ValueError for a flag out of its range."""
    checks.positive_integer("save_every", _SAVE_EVERY.value)
    checks.positive_integer("keep", _KEEP.value)


@contextlib.contextmanager
def checkpointing(out: pathlib.Path) -> Iterator[OrbaxCheckpointer]:
    """Writes OUT/checkpoints; SIGTERM and Ctrl-C save and end with 143 and 130."""
    logging.get_absl_handler().addFilter(_is_worth_reading)
    sys.unraisablehook = _quieter(sys.unraisablehook)
    checkpoints = out / "checkpoints"
    if _RESTART.value and distributed.is_first():
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(checkpoints)
    devices.max_over_processes(0)  # The others wait for that.
    checkpointer = OrbaxCheckpointer(checkpoints, _SAVE_EVERY.value, _KEEP.value)
    try:
        with stopping_on_signals(checkpointer):
            yield checkpointer
    except train.Stopped as stopped:
        if distributed.is_first():
            print(f"{stopped}; the same command goes on from there", file=sys.stderr)
        sys.exit(128 + checkpointer.asked)  # As a shell has it.


def _is_worth_reading(record):
    """Not what Orbax logs of a save: why one failed is said in a sentence."""
    return "orbax" not in record.pathname and record.name != "asyncio"


def _quieter(before):
    """The hook, without TensorStore's messages on a save that failed."""

    def hook(unraisable):
        if "Event loop is closed" not in str(unraisable.exc_value):
            before(unraisable)

    return hook
