"""Checkpoints of a training run, from which it goes on bit for bit (host, Orbax)."""

import contextlib
import dataclasses
import json
import pathlib
import signal
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from robust_jax.core import checks
from robust_jax.train import devices
from robust_jax.train.progress import Identity, Kept, Progress


class Keeper:
    """Writes checkpoints into a directory, in the background, and finds the newest.

    One checkpoint holds the whole state: weights, optimiser, averages, batch
    statistics, what the objective keeps in mind, the best weights, history and the
    place in the epoch. Draws derive from seed and step. Each is written whole or not at
    all: what a killed process left half-written does not count.

    Args:
        directory: made if it is missing; belongs to one run.
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
        self._manager = orbax.CheckpointManager(
            self.directory,
            item_names=("arrays", "progress"),
            options=orbax.CheckpointManagerOptions(max_to_keep=keep),
        )

    def restore(self, like: Kept, identity: Identity) -> Kept | None:
        """The newest checkpoint that can be read, with the shapes of `like`.

        Raises: ValueError: the directory holds another run; the difference is named.
        """
        self._identity = identity
        for step in sorted(self._manager.all_steps(), reverse=True):
            told = self._read(step, "progress", self._orbax.args.JsonRestore())
            if told is None:
                continue
            self._check(told["identity"])
            abstract = {name: _abstract(a) for name, a in _named(like).items()}
            restore = self._orbax.args.StandardRestore(abstract)
            arrays = self._read(step, "arrays", restore)
            if arrays is None:
                continue
            leaves = [jnp.copy(arrays[name]) for name in abstract]
            structure = jax.tree.structure((like.state, like.best))
            state, best = jax.tree.unflatten(structure, leaves)
            return Kept(state, best, Progress(**told["progress"]))
        return None

    def save(self, kept: Kept, *, wait: bool) -> None:
        """Saves in the background; `wait` returns once all is written.

        Raises: ValueError: it cannot be written; earlier checkpoints are as they were.
        """
        args, step = self._orbax.args, int(kept.state.step)
        told = {
            "identity": self._identity,
            "progress": dataclasses.asdict(kept.progress),
        }
        # Copies, as the next step reuses the memory of its state.
        arrays = {name: jnp.copy(a) for name, a in _named(kept).items()}
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
        try:
            composite = self._orbax.args.Composite(**{item: how})
            return self._manager.restore(step, args=composite)[item]
        except Exception:  # Orbax and tensorstore raise many kinds for broken files.
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
