"""Checkpoints of a training run, from which it goes on bit for bit (host, Orbax)."""

import contextlib
import dataclasses
import functools
import json
import pathlib
import shutil
import signal
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from absl import logging

from robust_jax.core import checks, extras, records
from robust_jax.train import devices
from robust_jax.train.digests import ITEMS, SUMS, sums_of
from robust_jax.train.run_state import Identity, RunState, TrainingProgress

_UNFINISHED = ".orbax-checkpoint-tmp"  # What Orbax calls it until it counts.


class OrbaxCheckpointer:
    """Writes checkpoints into a directory, in the background, and finds the newest.

    One checkpoint holds the whole state: weights, optimiser, averages, batch
    statistics, the objective's memory, the best weights, history and the
    place in the epoch. Draws derive from seed and step. Each is written whole or not at
    all: what a killed process left half-written does not count. Each has digests of its
    files, which are checked before any of it is used; only files that do not match them
    are damaged, whatever else goes wrong while they are read.

    Args:
        directory: belongs to one run; made at the first use if it is missing.
        every: steps between two checkpoints, >= 1; the last step always has one.
        keep: how many of the newest stay, >= 1.
    Raises: ValueError, TypeError: an argument out of its range, or of another kind.
    """

    def __init__(
        self, directory: str | pathlib.Path, every: int = 500, keep: int = 2
    ) -> None:
        orbax = extras.needed("orbax.checkpoint", "train", "a checkpoint")  # Seconds.

        checks.path("directory", directory, "a directory")
        checks.positive_integer("every", every)
        checks.positive_integer("keep", keep)
        self.every, self.keep = every, keep
        self.directory = pathlib.Path(directory).absolute()
        self.asked = 0  # the signal that asked to stop
        self._parent: OrbaxCheckpointer | None = None  # of the run that has this part
        self._identity: Identity = {}
        self._saving = 0  # the step of the last save, which may not have ended
        self._orbax = orbax

    @functools.cached_property
    def _manager(self) -> Any:
        records.prepare_out_dir(self.directory, "directory")
        options = self._orbax.CheckpointManagerOptions(
            max_to_keep=self.keep,
            async_options=self._orbax.AsyncOptions(
                post_finalization_callback=self._seal
            ),
        )
        try:
            return self._orbax.CheckpointManager(
                self.directory, item_names=ITEMS, options=options
            )
        except (OSError, MemoryError):
            raise
        except Exception as error:  # It reads what the checkpoints say of themselves.
            raise ValueError(
                f"directory={self.directory}: its checkpoints cannot be read "
                f"({_reason(error)}); choose another directory or restart"
            ) from error

    def restore(self, like: RunState, identity: Identity) -> RunState | None:
        """The newest checkpoint that is whole, with the shapes of `like`.

        Those that do not match their digests are set aside, and a warning says from
        where training goes on; of several processes the first decides which. Whatever
        else fails is raised, and all checkpoints stay as they are.

        Raises: ValueError: the directory holds another run, or one with other arrays;
            the difference is named. A checkpoint without digests, or one that is whole
            and cannot be read now. OSError, MemoryError: of reading.
        """
        self._identity = identity
        damaged, run = [], None
        for step in sorted(self._manager.all_steps(), reverse=True):
            if not devices.first_says(functools.partial(self._is_damaged, step)):
                run = self._read(step, like)
                break
            damaged.append(step)
        if damaged:
            self._set_aside(damaged, run)
        return run

    def _is_damaged(self, step: int) -> bool:
        """Whether the files of a checkpoint are others than those that were written."""
        sums = self.directory / str(step) / SUMS
        if not sums.is_file():
            raise ValueError(self._outdated(step, f"has no {SUMS}"))
        return sums.read_bytes() != sums_of(sums.parent, step)

    def _outdated(self, step: int, what: str) -> str:
        return (
            f"directory={self.directory}: the checkpoint of step {step} {what}, as an "
            "earlier version of the library wrote it; go on with that version, choose "
            "another directory or restart"
        )

    def _read(self, step: int, like: RunState) -> RunState:
        """A whole checkpoint of this run."""
        args, restore = self._orbax.args, functools.partial(self._manager.restore, step)
        with self._telling(step):
            how = args.Composite(progress=args.JsonRestore())
            told = restore(args=how)["progress"]
        for path, value in told["identity"].items():
            if path.startswith("recipe.method.") and value == "None":
                raise ValueError(self._outdated(step, f"has {path}=None"))
        self._check(told["identity"], json.loads(json.dumps(self._identity)))
        self._check(told["leaves"], like.leaves())
        abstract = {name: _abstract(a) for name, a in like.named().items()}
        with self._telling(step):
            how = args.Composite(arrays=args.StandardRestore(abstract))
            arrays = restore(args=how)["arrays"]
            copies = [jnp.copy(arrays[name]) for name in abstract]
        structure = jax.tree.structure((like.state, like.best))
        state, best = jax.tree.unflatten(structure, copies)
        return RunState(state, best, TrainingProgress(**told["progress"]))

    @contextlib.contextmanager
    def _telling(self, step: int) -> Iterator[None]:
        """Says in a sentence why a whole checkpoint cannot be read."""
        try:
            yield
        except (OSError, MemoryError):
            raise
        except Exception as error:  # Of Orbax, TensorStore, JAX or the device.
            raise ValueError(
                f"directory={self.directory}: the checkpoint of step {step} is whole "
                f"and stays, but cannot be read now ({_reason(error)}); run the same "
                "again once that is mended"
            ) from error

    def _set_aside(self, damaged: list[int], run: RunState | None) -> None:
        """Moves checkpoints out of the way of those to come, and says so."""

        def move() -> bool:
            for step in damaged:
                aside = self.directory / f"{step}.damaged"
                shutil.rmtree(aside, ignore_errors=True)
                (self.directory / str(step)).rename(aside)
            return True

        devices.first_says(move)
        if jax.process_index() == 0:
            names = ", ".join(f"{step}.damaged" for step in damaged)
            going = "starts anew" if run is None else f"goes on from {run.state.step}"
            logging.warning(
                "directory=%s: checkpoints that do not match their digests are set "
                "aside as %s; training %s", self.directory, names, going,
            )  # fmt: skip
        self._manager.reload()

    def save(self, run: RunState, *, wait: bool) -> None:
        """Saves in the background; `wait` returns once all is written.

        Raises: ValueError: it cannot be written; earlier checkpoints are as they were.
        """
        args, step = self._orbax.args, int(run.state.step)
        # Copies, as the next step reuses the memory of its state.
        arrays = {name: jnp.copy(a) for name, a in run.named().items()}
        told = {
            "identity": self._identity,
            "progress": dataclasses.asdict(run.progress),
            "leaves": run.leaves(),
        }
        try:
            self._manager.wait_until_finished()  # With the last one's digests.
            self._saving = step
            self._manager.save(
                step,
                args=args.Composite(
                    arrays=args.StandardSave(arrays), progress=args.JsonSave(told)
                ),
                force=True,
            )
            if wait:
                self._manager.wait_until_finished()
        except self._orbax.checkpoint_manager.StepAlreadyExistsError:
            self._manager.wait_until_finished()
        except Exception as error:
            raise ValueError(
                f"directory={self.directory}: the checkpoint of step {step} cannot be "
                f"written ({_reason(error)}); make room and run the same again: it "
                "goes on from the last whole one"
            ) from error

    def ask(self, number: int = signal.SIGTERM) -> None:
        """Asks training to save and stop, as a signal of that number does."""
        self.asked = number

    def is_asked_to_stop(self) -> bool:
        """Whether a signal came to a process, see `stopping_on_signals`."""
        if self._parent is not None:
            return self._parent.is_asked_to_stop()
        agreed = devices.max_over_processes(self.asked)
        if agreed:
            self.asked = agreed
        return agreed > 0

    def within(self, name: str) -> "OrbaxCheckpointer":
        """The checkpointer of a part of this run, such as a teacher's training."""
        part = OrbaxCheckpointer(self.directory / name, self.every, self.keep)
        part._parent = self
        return part

    def newest(self) -> str:
        """The newest whole checkpoint's path; "" if there is none."""
        with contextlib.suppress(Exception):  # A failed save was told before.
            self._manager.wait_until_finished()
        step = self._manager.latest_step()
        return "" if step is None else str(self.directory / str(step))

    def _seal(self) -> None:
        """Writes the digests of a checkpoint before it counts; Orbax calls it."""
        if jax.process_index() == 0:
            step = self._saving
            (checkpoint,) = self.directory.glob(f"{step}{_UNFINISHED}*")
            (checkpoint / SUMS).write_bytes(sums_of(checkpoint, step))

    def _check(self, old: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for path in sorted({*old, *now}):
            if old.get(path) != now.get(path):
                raise ValueError(
                    f"directory={self.directory} holds a run with "
                    f"{path}={old.get(path)!r}, this one has {now.get(path)!r}; choose "
                    "another directory or restart"
                )


@contextlib.contextmanager
def stopping_on_signals(checkpointer: OrbaxCheckpointer) -> Iterator[None]:
    """While it is open, SIGTERM and Ctrl-C ask to stop; a second Ctrl-C interrupts."""

    def ask(number: int, frame: Any) -> None:
        checkpointer.ask(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {s: signal.signal(s, ask) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _abstract(a: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding)


def _reason(error: BaseException) -> str:
    """The system's reason for a failure that may be wrapped many times."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error).splitlines()[0]
