"""Reads prepared tfds directories (array_record) into memory; no TensorFlow."""

import hashlib
import io
import json
import os
import pathlib
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from absl import logging
from numpy.typing import NDArray

from robust_jax.core import extras
from robust_jax.datasets.catalog import CATALOG
from robust_jax.datasets.types import Dataset, dataset_ids

SPLITS = ("train", "validation", "test")
_SCALE = 255
_AT_ONCE = 1024  # records
_VERSION = re.compile(r"\d+\.\d+\.\d+")


class Arrays(NamedTuple):
    """One whole tfds split, in tfds's order."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]
    ids: NDArray[np.uint64]


def load(name: str, split: str, data_dir: str | os.PathLike | None = None) -> Dataset:
    """One split of a prepared data set, whole, in memory.

    Validation is the last part of tfds's train split (MNIST and Fashion-MNIST: 5,000
    of 60,000; CIFAR: 5,000 of 50,000; SVHN: 7,325 of 73,257), train the rest. tfds
    stores every split in a fixed random order.

    Args:
        name: a key of `catalog.CATALOG`.
        split: "train", "validation" or "test".
        data_dir: as for tfds; default $TFDS_DATA_DIR, else ~/tensorflow_datasets.
    Raises: FileNotFoundError: nothing is prepared there; says what to run.
        ValueError: what is there is not array_record, or is damaged.
    """
    entry = CATALOG[name]
    directory = find(name, data_dir)

    def part(n: int) -> range:
        last = n - max(1, n // entry.folds)
        return {"train": range(last), "validation": range(last, n)}.get(split, range(n))

    arrays = read(directory, "test" if split == "test" else "train", part)
    names = _class_names(directory)
    return Dataset(name, split, *arrays, entry.num_classes, _SCALE, names)


def _class_names(directory: pathlib.Path) -> tuple[str, ...]:
    """As tfds leaves them, one in a line; none where it does not."""
    try:
        text = (directory / "label.labels.txt").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ()
    return tuple(text.splitlines())


def data_root(data_dir: str | os.PathLike | None = None) -> pathlib.Path:
    """The directory that holds data sets: the argument, or tfds's default."""
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(data_dir or default).expanduser()


def find(name: str, data_dir: str | os.PathLike | None = None) -> pathlib.Path:
    """The directory of the newest prepared version of a data set.

    Raises: FileNotFoundError, ValueError: as `load`.
    """
    root = data_root(data_dir)
    infos = root.glob(f"{CATALOG[name].tfds_name}/*/dataset_info.json")
    versions = {
        tuple(int(part) for part in info.parent.name.split(".")): info
        for info in infos
        if _VERSION.fullmatch(info.parent.name)
    }
    if not versions:
        raise FileNotFoundError(
            f"{name} is not prepared in {root}; run robust-jax prepare-data "
            f"--dataset={name} --manual_dir=DIRECTORY_OF_THE_OFFICIAL_FILES "
            f"--data_dir={root}"
        )
    info = versions[max(versions)]
    try:
        file_format = json.loads(info.read_text()).get("fileFormat", "tfrecord")
    except (ValueError, AttributeError):
        file_format = "something unknown (dataset_info.json is damaged)"
    if file_format != "array_record":
        raise ValueError(
            f"{info.parent} is stored as {file_format}; expected array_record, which "
            "reads without TensorFlow; prepare it again with "
            "robust-jax prepare-data"
        )
    return info.parent


def read(
    directory: pathlib.Path, split: str, part: Callable[[int], range] = range
) -> Arrays:
    """A tfds split as arrays, whole or in part; writes nothing.

    Decoding 60,000 images takes 13 s, so `keep`, which `prepare` calls, leaves the
    arrays beside the records. They are used only if they were made of these records,
    and are what was kept, by their digests.

    Args:
        directory: of one prepared version.
        split: as tfds names it.
        part: which examples of how many, contiguous.
    Raises: ValueError: the records are damaged.
    """
    arrays = _found(directory, split)
    if arrays is not None:
        at = part(len(arrays.ids))
        cut = slice(at.start, at.stop)
        return Arrays(arrays.images[cut], arrays.labels[cut], arrays.ids[cut])
    try:
        return _decode(directory, split, part)
    except Exception as error:  # No decoder says what it raises on foreign bytes.
        reason = " ".join(str(error).split())
        raise ValueError(
            f"the {split} records in {directory} cannot be read ({reason}); run "
            "robust-jax prepare-data with --overwrite"
        ) from error


def keep(directory: pathlib.Path, split: str, arrays: Arrays) -> None:
    """Leaves decoded arrays beside the records, with digests of both."""
    stamp = f"{_stamp(directory, split)} {_digest(arrays)}"
    np.savez(_kept(directory, split), stamp=stamp, **arrays._asdict())


def _found(directory: pathlib.Path, split: str) -> Arrays | None:
    """What `keep` left; None if it is absent, or not whole, or of other records."""
    try:
        # Opened here: of a damaged zip NumPy 2 would leave the file open.
        with _kept(directory, split).open("rb") as whole, np.load(whole) as file:
            arrays = Arrays(file["images"], file["labels"], file["ids"])
            stamp = str(file["stamp"])
    except Exception:  # NumPy and zipfile raise many kinds for damaged files.
        return None
    wanted = f"{_stamp(directory, split)} {_digest(arrays)}"
    return arrays if stamp == wanted else None


def _digest(arrays: Arrays) -> str:
    total = hashlib.sha256()
    for column in arrays:
        total.update(f"{column.dtype} {column.shape}".encode())
        total.update(np.ascontiguousarray(column).data)
    return total.hexdigest()


def _kept(directory: pathlib.Path, split: str) -> pathlib.Path:
    return directory / f"arrays-{split}.npz"


def _decode(
    directory: pathlib.Path, split: str, part: Callable[[int], range]
) -> Arrays:
    what = f"datasets.load of {directory.parent.name}"
    Image = extras.needed("PIL.Image", "data", what)
    tfds = extras.needed("tensorflow_datasets", "data", what)  # 0.8 s.
    logging.info("Decoding the %s images in %s", split, directory)
    builder = tfds.builder_from_directory(directory)
    # PIL, not tfds's choice of OpenCV or PIL: one decoder, and no warning about it.
    source = builder.as_data_source(
        split=split, decoders={"image": tfds.decode.SkipDecoding()}
    )
    wanted, shape = part(len(source)), builder.info.features["image"].shape
    images = np.empty((len(wanted), *shape), np.uint8)
    labels = np.empty(len(wanted), np.int32)
    for start in range(0, len(wanted), _AT_ONCE):
        records = source.__getitems__(wanted[start : start + _AT_ONCE])
        for at, record in enumerate(records, start):
            with Image.open(io.BytesIO(record["image"])) as image:
                images[at] = np.asarray(image).reshape(shape)
            labels[at] = record["label"]
    return Arrays(images, labels, dataset_ids(images, labels, _SCALE))


def _stamp(directory: pathlib.Path, split: str) -> str:
    """Changes with the records of the split and with the definition of ids."""
    probe = dataset_ids(np.zeros((1, 1), np.uint8), np.zeros(1, np.int32), _SCALE)
    parts = [str(probe[0])]
    for path in sorted(directory.glob(f"*-{split}.array_record-*")):
        with path.open("rb") as records:
            parts.append(hashlib.file_digest(records, "sha256").hexdigest())
    return " ".join(parts)
