"""Checkpoints of a training run, from which it goes on bit for bit (host, Orbax)."""

import contextlib
import dataclasses
import functools
import gc
import hashlib
import json
import pathlib
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from robust_jax.core import checks, records
from robust_jax.train import devices
from robust_jax.train.progress import Identity, Kept, Progress


class Keeper:
    """Writes checkpoints into a directory, in the background, and finds the newest.

    One checkpoint holds the whole state: weights, optimiser, averages, batch
    statistics, what the objective keeps in mind, the best weights, history and the
    place in the epoch. Draws derive from seed and step. Each is written whole or not at
    all: what a killed process left half-written does not count. Each has digests of all
    that it holds, which are checked before any of it is used.

    Args:
        directory: belongs to one run; made at the first use if it is missing.
        every: steps between two checkpoints, >= 1; the last step always has one.
        keep: how many of the newest stay, >= 1.
    Raises: ValueError: an argument out of its range.
    """

    def __init__(
        self, directory: str | pathlib.Path, every: int = 500, keep: int = 2
    ) -> None:
        from orbax import checkpoint as orbax  # Takes seconds to import.

        checks.positive_integer("every", every)
        checks.positive_integer("keep", keep)
        self.every, self.keep = every, keep
        self.directory = pathlib.Path(directory).absolute()
        self.asked = 0  # the signal that asked to stop
        self._whole: Keeper | None = None  # that of the run that this is a part of
        self._identity: Identity = {}
        self._orbax = orbax

    @functools.cached_property
    def _manager(self) -> Any:
        records.prepare_out_dir(self.directory, "directory")
        options = self._orbax.CheckpointManagerOptions(max_to_keep=self.keep)
        try:
            return self._orbax.CheckpointManager(
                self.directory, item_names=("arrays", "progress"), options=options
            )
        except Exception as error:  # It reads what the checkpoints say of themselves.
            raise ValueError(
                f"directory={self.directory}: its checkpoints cannot be read "
                f"({_reason(error)}); choose another directory or restart"
            ) from error

    def restore(self, like: Kept, identity: Identity) -> Kept | None:
        """The newest checkpoint that is whole, with the shapes of `like`.

        Those that do not match their digests are set aside, and a warning says from
        where training goes on.

        Raises: ValueError: the directory holds another run; the difference is named.
        """
        self._identity = identity
        damaged = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            kept = self._whole_one(step, like)
            if kept is not None:
                break
            damaged.append(step)
        else:
            kept = None
        if damaged:
            self._set_aside(damaged, kept)
        return kept

    def _whole_one(self, step: int, like: Kept) -> Kept | None:
        """A checkpoint of this run; None if it does not match its digests."""
        told = self._read(step, "progress", self._orbax.args.JsonRestore())
        if not isinstance(told, dict) or told.pop("sha256", "") != _digest_of(told):
            return None
        self._check(told["identity"])
        abstract = {name: _abstract(a) for name, a in _named(like).items()}
        restore = self._orbax.args.StandardRestore(abstract)
        arrays = self._read(step, "arrays", restore)
        if arrays is None:
            return None
        arrays = {name: jnp.copy(arrays[name]) for name in abstract}
        if (told["step"], told["arrays"]) != (step, _digest(arrays)):
            return None
        structure = jax.tree.structure((like.state, like.best))
        state, best = jax.tree.unflatten(structure, list(arrays.values()))
        return Kept(state, best, Progress(**told["progress"]))

    def _set_aside(self, damaged: list[int], kept: Kept | None) -> None:
        """Moves checkpoints out of the way of those to come, and says so."""
        if jax.process_index() == 0:
            for step in damaged:
                aside = self.directory / f"{step}.damaged"
                shutil.rmtree(aside, ignore_errors=True)
                (self.directory / str(step)).rename(aside)
            names = ", ".join(f"{step}.damaged" for step in damaged)
            going = "starts anew" if kept is None else f"goes on from {kept.state.step}"
            logging.warning(
                "directory=%s: checkpoints that do not match their digests are set "
                "aside as %s; training %s", self.directory, names, going,
            )  # fmt: skip
        devices.largest(0)  # The others wait for that.
        self._manager.reload()

    def save(self, kept: Kept, *, wait: bool) -> None:
        """Saves in the background; `wait` returns once all is written.

        Raises: ValueError: it cannot be written; earlier checkpoints are as they were.
        """
        args, step = self._orbax.args, int(kept.state.step)
        # Copies, as the next step reuses the memory of its state.
        arrays = {name: jnp.copy(a) for name, a in _named(kept).items()}
        told = {
            "identity": self._identity,
            "progress": dataclasses.asdict(kept.progress),
            "step": step,
            "arrays": _digest(arrays),
        }
        told["sha256"] = _digest_of(told)
        try:
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
        """Whether a signal came in, see `listening`, here or at another process."""
        if self._whole is not None:
            return self._whole.is_asked_to_stop()
        agreed = devices.largest(self.asked)
        if agreed:
            self.asked = agreed
        return agreed > 0

    def within(self, name: str) -> "Keeper":
        """A keeper for a part of this run, such as a net that is trained before."""
        part = Keeper(self.directory / name, self.every, self.keep)
        part._whole = self
        return part

    def newest(self) -> str:
        """The newest whole checkpoint's path; "" if there is none."""
        with contextlib.suppress(Exception):  # A failed save was told before.
            self._manager.wait_until_finished()
        step = self._manager.latest_step()
        return "" if step is None else str(self.directory / str(step))

    def _read(self, step: int, item: str, how: Any) -> Any:
        """An item of a checkpoint; None if it cannot be read."""
        with _silent_coroutines():
            try:
                composite = self._orbax.args.Composite(**{item: how})
                return self._manager.restore(step, args=composite)[item]
            except (
                Exception
            ):  # Orbax and tensorstore raise many kinds for broken files.
                pass
            gc.collect()  # What still waited for its error goes now.
            return None

    def _check(self, identity: Identity) -> None:
        now = json.loads(json.dumps(self._identity))
        for path in sorted({*identity, *now}):
            old, new = identity.get(path), now.get(path)
            if old != new:
                raise ValueError(
                    f"directory={self.directory} holds a run with {path}={old!r}, this "
                    f"one has {new!r}; choose another directory or restart"
                )


@contextlib.contextmanager
def _silent_coroutines() -> Iterator[None]:
    """Python says nothing of coroutines that Orbax leaves behind when a read fails."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = hook


@contextlib.contextmanager
def listening(keeper: Keeper) -> Iterator[None]:
    """While it is open, SIGTERM and Ctrl-C ask to stop; a second Ctrl-C interrupts."""

    def ask(number: int, frame: Any) -> None:
        keeper.ask(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {s: signal.signal(s, ask) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _named(kept: Kept) -> dict[str, Any]:
    """The arrays by their path in the tree, in its order."""
    leaves, _ = jax.tree_util.tree_flatten_with_path((kept.state, kept.best))
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): a for path, a in leaves
    }


def _digest(arrays: Mapping[str, Any]) -> str:
    """SHA-256 of arrays with their names, types and shapes."""
    total = hashlib.sha256()
    for name, a in arrays.items():
        own = np.asarray(devices.here(a))
        total.update(f"{name} {own.dtype} {own.shape}\n".encode() + own.tobytes())
    return total.hexdigest()


def _digest_of(told: Any) -> str:
    """SHA-256 of JSON data, as they come back."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


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
