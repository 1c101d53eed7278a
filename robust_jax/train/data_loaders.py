"""Where the examples of a training step come from: the device, or the host's memory."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from robust_jax.core import extras
from robust_jax.core.types import Array
from robust_jax.datasets.types import Dataset, OnDevice
from robust_jax.train import devices

_READ_AHEAD = 4  # Steps whose examples are ready before their turn.
_SHARE = 0.4  # Of a device's memory, for data.

Pixels = tuple[Array, Array]  # [B, *S] float32 and [B] int32 labels


class Examples(Protocol):
    """What a compiled step takes its examples from; a pytree."""

    def at(self, positions: Array, own: int) -> Pixels:
        """The examples of a step.

        Args:
            positions: [B] int32, see `Batching.order`.
            own: how many of them are of the training set; the others are extra.
        """
        ...


class DataLoader(Protocol):
    """Examples in an order that is known beforehand."""

    def sizes(self) -> tuple[int, int]:
        """How many examples there are, of the training set and extra."""
        ...

    def steps(
        self, order: np.ndarray, own: int, mesh: Mesh | None
    ) -> Iterator[tuple[Examples, np.ndarray]]:
        """What each step takes, and its positions: a row of the order [steps, B]."""
        ...


class DeviceLoader(NamedTuple):
    """Whole data sets on the device; a pytree, so that it can be an argument.

    >>> images, labels = np.zeros((5, 8, 8, 1), np.uint8), np.arange(5, dtype=np.int32)
    >>> ids = np.arange(5, dtype=np.uint64)
    >>> data = rj.datasets.Dataset("mine", "train", images, labels, ids, 10, scale=255)
    >>> rj.train.DeviceLoader(data.on_device()).sizes()
    (5, 0)
    """

    data: OnDevice  # [N, *S]
    extra: OnDevice | None = None  # [M, *S], such as synthetic images

    def sizes(self) -> tuple[int, int]:
        """N and M."""
        extra = self.extra
        return len(self.data.labels), 0 if extra is None else len(extra.labels)

    def at(self, positions: Array, own: int) -> Pixels:
        """The examples of a step, see `Examples`."""
        first = self.data.batch(positions[:own])
        if self.extra is None:
            return first
        return _joined(first, self.extra.batch(positions[own:] - self.sizes()[0]))

    def steps(
        self, order: np.ndarray, own: int, mesh: Mesh | None
    ) -> Iterator[tuple[Examples, np.ndarray]]:
        """The same arrays for each step."""
        for positions in order:
            yield self, positions


class StepExamples(NamedTuple):
    """The examples of one step alone, in its order; a pytree."""

    data: OnDevice  # [own, *S]
    extra: OnDevice | None  # [B - own, *S]

    def at(self, positions: Array, own: int) -> Pixels:
        """All of them, see `Examples`."""
        first = self.data.batch(jnp.arange(own))
        if self.extra is None:
            return first
        return _joined(first, self.extra.batch(jnp.arange(positions.shape[0] - own)))


class HostLoader(NamedTuple):
    """Data sets that stay in the host's memory; Grain reads them ahead in threads.

    Images may be a memory-mapped file.

    >>> images, labels = np.zeros((5, 8, 8, 1), np.uint8), np.arange(5, dtype=np.int32)
    >>> ids = np.arange(5, dtype=np.uint64)
    >>> data = rj.datasets.Dataset("mine", "train", images, labels, ids, 10, scale=255)
    >>> rj.train.HostLoader(data, extra=data).sizes()
    (5, 5)
    """

    data: Dataset
    extra: Dataset | None = None

    def sizes(self) -> tuple[int, int]:
        """How many examples there are, of the training set and extra."""
        return len(self.data), 0 if self.extra is None else len(self.extra)

    def steps(
        self, order: np.ndarray, own: int, mesh: Mesh | None
    ) -> Iterator[tuple[Examples, np.ndarray]]:
        """A step's examples after the other, on the device before their turn."""
        grain = extras.needed("grain", "train", "train.HostLoader")  # Takes a second.

        reading = grain.ReadOptions(num_threads=2, prefetch_buffer_size=_READ_AHEAD)
        source = grain.MapDataset.source(_Reader(self, order, own, mesh))
        yield from zip(source.to_iter_dataset(reading), order, strict=True)


class _Reader(NamedTuple):
    """A sequence of `StepExamples`, one for each step."""

    loader: HostLoader
    order: np.ndarray
    own: int
    mesh: Mesh | None

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, step: Any) -> Any:
        loader, positions = self.loader, self.order[step]
        extra = loader.extra
        if extra is not None:
            extra = extra.take(positions[self.own :] - len(loader.data))
        data = loader.data.take(positions[: self.own])
        rows = StepExamples(
            data.on_device(), None if extra is None else extra.on_device()
        )
        return devices.replicate(rows, self.mesh)


def fits_the_device(*datasets: Dataset | None) -> bool:
    """Whether data sets leave most of the default device's memory free.

    On CPU, and where the device does not tell its memory, they do.
    """
    held = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    needed = sum(each.images.nbytes for each in datasets if each is not None)
    return held is None or needed <= _SHARE * held


def _joined(first: Pixels, second: Pixels) -> Pixels:
    images, labels = zip(first, second, strict=True)
    return jnp.concatenate(images), jnp.concatenate(labels)
