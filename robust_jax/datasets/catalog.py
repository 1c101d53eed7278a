"""The data sets that come through tfds: one table, one row each."""

import difflib
from collections.abc import Collection
from typing import NamedTuple

from robust_jax.core import checks


class Entry(NamedTuple):
    """One data set, as tfds names it, and how we cut it."""

    tfds_name: str
    shape: tuple[int, int, int]  # of an image
    num_classes: int
    # Validation is the last 1/folds of tfds's train split, in tfds's order, which is
    # a fixed shuffle: 5,000 of MNIST's 60,000 (folds 12), of CIFAR's 50,000 (10).
    folds: int
    means: tuple[float, ...]  # of the train pixels per channel, to four digits


CATALOG = {
    "mnist": Entry("mnist", (28, 28, 1), 10, 12, (0.1307,)),
    "fashion_mnist": Entry("fashion_mnist", (28, 28, 1), 10, 12, (0.2860,)),
    "cifar10": Entry("cifar10", (32, 32, 3), 10, 10, (0.4914, 0.4822, 0.4465)),
    "cifar100": Entry("cifar100", (32, 32, 3), 100, 10, (0.5071, 0.4866, 0.4409)),
    "svhn": Entry("svhn_cropped", (32, 32, 3), 10, 10, (0.4377, 0.4438, 0.4728)),
}


def check_known(what: str, value: str, known: Collection[str]) -> None:
    """Raises a ValueError that lists what is known and suggests the nearest."""
    if not isinstance(value, str) or value not in known:
        value = checks.shown(value).strip("'")
        near = difflib.get_close_matches(value, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"{what}={value}; expected one of {', '.join(known)}{hint}")
