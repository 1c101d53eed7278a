"""The 1,797 handwritten 8x8 digits that scikit-learn ships.

They are the test part of the UCI set "Optical Recognition of Handwritten Digits"
(Alpaydin & Kaynak, 1998): counts of black dots in 4x4 blocks, 0..16.
"""

import gzip
import importlib.util
import pathlib
import zlib

import numpy as np

from robust_jax.datasets.types import Dataset, dataset_ids

NAME = "digits"
SIZES = {"test": 500, "validation": 150, "train": 1147}  # cut in this order
_SCALE = 16
_SIDE = 8


def load(split: str) -> Dataset:
    """One split of the digits: train 1,147, validation 150, test 500.

    The order is that of the ids, which are hashes: as good as a random permutation,
    the same forever, and independent of the file's order. Test, validation and train
    are cut from it in turn, so the first examples of a split are a fair sample of it.
    The data file is read where scikit-learn is installed; scikit-learn itself (2.6 s)
    is not imported.

    Args:
        split: "train", "validation" or "test".
    Returns: the split; images [N, 8, 8, 1], values 0..16.
    Raises: FileNotFoundError: scikit-learn is not installed, or ships no digits.
        ValueError: the file is not the one with 1,797 digits.
    """
    table = _read(_data_file())
    images = table[:, :-1].reshape(-1, _SIDE, _SIDE, 1)
    labels = table[:, -1].astype(np.int32)
    ids = dataset_ids(images, labels, _SCALE)
    everything = Dataset(NAME, split, images, labels, ids, 10, _SCALE)
    first = sum(list(SIZES.values())[: list(SIZES).index(split)])
    return everything.take(np.argsort(ids)[first : first + SIZES[split]])


def _data_file() -> pathlib.Path:
    spec = importlib.util.find_spec("sklearn")  # Finds, does not import.
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            "the digits come with scikit-learn, which is not installed; "
            "run pip install 'robust-jax[data]'"
        )
    folder = pathlib.Path(spec.submodule_search_locations[0])
    return folder / "datasets" / "data" / "digits.csv.gz"


def _read(path: pathlib.Path) -> np.ndarray:
    """The file's rows: 64 pixels and the label, uint8."""
    try:
        with gzip.open(path, "rt", encoding="ascii") as lines:
            table = np.loadtxt(lines, delimiter=",", dtype=np.uint8, ndmin=2)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is missing; reinstall scikit-learn, which ships it"
        ) from None
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); reinstall scikit-learn"
        ) from error
    if table.shape != (sum(SIZES.values()), _SIDE * _SIDE + 1):
        raise ValueError(
            f"{path} has shape {table.shape}; expected (1797, 65); "
            "reinstall scikit-learn"
        )
    return table
