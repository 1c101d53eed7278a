"""Which official files become which data set? Prepares one for `robust_jax.datasets`.

    robust-jax prepare-data --dataset=mnist --manual_dir=DOWNLOADED_FILES \
        --data_dir=DIRECTORY_OF_DATA_SETS

Writes a tfds directory (array_record) that `tfds.data_source` reads, without
TensorFlow and without network. Files as published, one directory per data set: MNIST
and Fashion-MNIST share file names. The digits need no preparation.

Expected for MNIST: 60,000 + 10,000 images, train mean 0.1307, std 0.3081; about 50 s on
one core.
"""

import numpy as np
from absl import flags

from robust_jax import datasets
from robust_jax.commands.shared import common
from robust_jax.datasets import catalog, prepare, tfds_source

_DATASET = flags.DEFINE_enum(
    "dataset", None, list(catalog.CATALOG), "Data set to prepare.", required=True
)
_MANUAL_DIR = flags.DEFINE_string(
    "manual_dir", None, "Directory with the official files.", required=True
)
_VERIFY = flags.DEFINE_bool(
    "verify", True, "Compare the files' sha256 with the published ones."
)
_NO_VERIFY = flags.DEFINE_bool("no_verify", False, "The same as --noverify.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace what is prepared already.")


def main(argv: list[str]) -> None:
    """Prepares the data set and prints a table of its splits."""
    del argv
    name, data_dir = _DATASET.value, common.DATA_DIR.value
    try:
        directory = prepare.prepare(
            name,
            _MANUAL_DIR.value,
            data_dir,
            verify=_VERIFY.value and not _NO_VERIFY.value,
            overwrite=_OVERWRITE.value,
        )
        print(f"Prepared {name} in {directory}")
    except FileExistsError as error:
        print(f"Nothing to do: {error}")
    print(f"{'split':<12}{'images':>8}  {'mean':<24}{'std':<24}")
    for split in tfds_source.SPLITS:
        dataset = datasets.load(name, split, data_dir)
        mean, std = _statistics(dataset)
        print(f"{split:<12}{len(dataset):>8,}  {mean:<24}{std:<24}")


def _statistics(dataset: datasets.Dataset) -> tuple[str, str]:
    """Mean and standard deviation of the pixels, per channel."""
    flat = dataset.images.reshape(-1, dataset.images.shape[-1])
    counts = [np.bincount(channel, minlength=256) for channel in flat.T]
    values = np.arange(256) / dataset.scale
    means = [np.average(values, weights=count) for count in counts]
    spreads = [
        np.sqrt(np.average((values - mean) ** 2, weights=count))
        for mean, count in zip(means, counts, strict=True)
    ]
    return (
        " ".join(f"{mean:.5f}" for mean in means),
        " ".join(f"{spread:.5f}" for spread in spreads),
    )
