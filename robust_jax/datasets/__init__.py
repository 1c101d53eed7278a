"""Data sets in memory: images, labels and stable ids, in fixed splits."""

import os

from robust_jax.core import checks
from robust_jax.datasets import digits, tfds_source
from robust_jax.datasets.arrays import from_arrays
from robust_jax.datasets.catalog import CATALOG
from robust_jax.datasets.files import from_folder, from_npz
from robust_jax.datasets.types import Dataset, OnDevice

__all__ = [
    "Dataset",
    "OnDevice",
    "from_arrays",
    "from_folder",
    "from_npz",
    "load",
    "names",
]


def names() -> tuple[str, ...]:
    """The data sets that `load` knows; "digits" needs no preparation.

    >>> rj.datasets.names()
    ('digits', 'mnist', 'fashion_mnist', 'cifar10', 'cifar100', 'svhn')
    """
    return (digits.NAME, *CATALOG)


def load(name: str, split: str, data_dir: str | os.PathLike | None = None) -> Dataset:
    """One split of a data set, whole, in memory.

    Guarantees: the same examples in the same order at every call; train, validation
    and test are disjoint parts of what was published.

    Args:
        name: one of `names()`.
        split: "train", "validation" or "test".
        data_dir: where tfds directories are; default $TFDS_DATA_DIR, else
            ~/tensorflow_datasets. The digits do not need it.
    Returns: the split; `pixels()` are in [0, 1].
    Raises: ValueError: unknown name or split.
        FileNotFoundError: the data set is not prepared; says what to run.

    >>> data = rj.datasets.load("digits", "test")
    >>> data.images.shape, data.labels[:5]
    ((500, 8, 8, 1), array([6, 8, 3, 1, 2], dtype=int32))
    """
    checks.known_name("dataset", name, names())
    checks.known_name("split", split, tfds_source.SPLITS)
    if name == digits.NAME:
        return digits.load(split)
    return tfds_source.load(name, split, data_dir)
