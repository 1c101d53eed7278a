"""The data sets that come through tfds: one table, one row each."""

from typing import NamedTuple


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
