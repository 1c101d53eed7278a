"""Which official files make up a data set, and how to read them together."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

from robust_jax.datasets import official
from robust_jax.datasets.official import RawSplit

Splits = dict[str, RawSplit]
ClassNames = dict[str, list[str]]  # label feature -> names, where the files have them


class Layout(NamedTuple):
    """The files of a data set, all in one directory."""

    files: tuple[str, ...]
    read: Callable[[pathlib.Path], tuple[Splits, ClassNames]]


def _read_mnist(folder: pathlib.Path) -> tuple[Splits, ClassNames]:
    splits = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = _idx_names(prefix)
        splits[split] = official.read_idx_pair(folder / images, folder / labels)
    return splits, {}


def _idx_names(prefix: str) -> tuple[str, str]:
    return f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz"


class _Cifar(NamedTuple):
    """The members of one of the two CIFAR archives."""

    archive: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: dict[str, str]  # feature -> member with its names, in the record's order

    def read(self, directory: pathlib.Path) -> tuple[Splits, ClassNames]:
        path, keys = directory / self.archive, list(self.labels)
        members = (*self.train, *self.test, *self.labels.values())
        content = official.read_members(path, [f"{self.folder}/{m}" for m in members])
        found = dict(zip(members, content, strict=True))
        splits = {}
        for split, batches in (("train", self.train), ("test", self.test)):
            records = [found[batch] for batch in batches]
            splits[split] = official.parse_cifar(path, records, keys)
        names = {key: found[member].decode() for key, member in self.labels.items()}
        return splits, {k: [n for n in v.split("\n") if n] for k, v in names.items()}


_CIFAR10 = _Cifar(
    "cifar-10-binary.tar.gz",
    "cifar-10-batches-bin",
    tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    ("test_batch.bin",),
    {"label": "batches.meta.txt"},
)
_CIFAR100 = _Cifar(
    "cifar-100-binary.tar.gz",
    "cifar-100-binary",
    ("train.bin",),
    ("test.bin",),
    {"coarse_label": "coarse_label_names.txt", "label": "fine_label_names.txt"},
)


def _read_svhn(folder: pathlib.Path) -> tuple[Splits, ClassNames]:
    files = {split: folder / f"{split}_32x32.mat" for split in ("train", "test")}
    return {split: official.read_svhn(path) for split, path in files.items()}, {}


_MNIST = Layout((*_idx_names("train"), *_idx_names("t10k")), _read_mnist)

LAYOUTS = {
    "mnist": _MNIST,
    "fashion_mnist": _MNIST,
    "cifar10": Layout((_CIFAR10.archive,), _CIFAR10.read),
    "cifar100": Layout((_CIFAR100.archive,), _CIFAR100.read),
    "svhn": Layout(("train_32x32.mat", "test_32x32.mat"), _read_svhn),
}
