"""Writes archives of twenty images in the official layouts."""

import gzip
import io
import pathlib
import struct
import tarfile
from typing import NamedTuple

import numpy as np
import scipy.io

SIZES = {"train": 20, "test": 10}


class Split(NamedTuple):
    images: np.ndarray
    labels: np.ndarray
    coarse: np.ndarray


def examples(shape, classes):
    rng = np.random.default_rng(len(shape) + classes)
    return {
        split: Split(
            rng.integers(0, 256, (n, *shape), dtype=np.uint8),
            rng.integers(0, classes, n).astype(np.uint8),
            rng.integers(0, 20, n).astype(np.uint8),
        )
        for split, n in SIZES.items()
    }


def write_idx(folder: pathlib.Path):
    splits = examples((28, 28, 1), 10)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels, _ = splits[split]
        n = len(images)
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">IIII", 2051, n, 28, 28) + images.tobytes())
        )
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">II", 2049, n) + labels.tobytes())
        )
    return splits


def write_tar(path: pathlib.Path, members: dict[str, bytes]):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def cifar_records(*columns):
    *labels, images = columns
    rows = zip(*labels, images, strict=True)
    return b"".join(
        bytes([int(label) for label in row[:-1]])
        + b"".join(row[-1][:, :, channel].tobytes() for channel in range(3))
        for row in rows
    )


def write_cifar10(folder: pathlib.Path):
    splits = examples((32, 32, 3), 10)
    train, test = splits["train"], splits["test"]
    members = {"batches.meta.txt": "\n".join(map(str, range(10))).encode() + b"\n\n"}
    for batch in range(5, 0, -1):  # The order of the members is not that of the data.
        part = slice(4 * (batch - 1), 4 * batch)
        members[f"data_batch_{batch}.bin"] = cifar_records(
            train.labels[part], train.images[part]
        )
    members["readme.html"] = b"<html>"
    members["test_batch.bin"] = cifar_records(test.labels, test.images)
    members = {f"cifar-10-batches-bin/{name}": m for name, m in members.items()}
    write_tar(folder / "cifar-10-binary.tar.gz", members)
    return splits


def write_cifar100(folder: pathlib.Path):
    splits = examples((32, 32, 3), 100)
    members = {
        f"cifar-100-binary/{split}.bin": cifar_records(s.coarse, s.labels, s.images)
        for split, s in splits.items()
    }
    for kind, n in (("coarse", 20), ("fine", 100)):
        names = "".join(f"{kind}{k}\n" for k in range(n))
        members[f"cifar-100-binary/{kind}_label_names.txt"] = names.encode()
    write_tar(folder / "cifar-100-binary.tar.gz", members)
    return splits


def write_svhn(folder: pathlib.Path):
    splits = examples((32, 32, 3), 10)
    for split, (images, labels, _) in splits.items():
        labels[:2] = 0, 9
        y = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
        content = {"X": np.moveaxis(images, 0, -1), "y": y}
        path = folder / f"{split}_32x32.mat"
        scipy.io.savemat(path, content, do_compression=True)
    return splits


WRITERS = {
    "mnist": write_idx,
    "fashion_mnist": write_idx,
    "cifar10": write_cifar10,
    "cifar100": write_cifar100,
    "svhn": write_svhn,
}
FIRST_FILE = {
    "mnist": "train-images-idx3-ubyte.gz",
    "cifar10": "cifar-10-binary.tar.gz",
    "cifar100": "cifar-100-binary.tar.gz",
    "svhn": "test_32x32.mat",
}
