"""Twenty-image archives in the official layouts, there and back."""

import gzip
import io
import pathlib
import struct
import tarfile
from typing import NamedTuple

import numpy as np
import pytest
import scipy.io
import tensorflow_datasets as tfds

from robust_jax import datasets
from robust_jax.core.ids import example_ids
from robust_jax.datasets import official, prepare as prepare_lib, tfds_source
from robust_jax.datasets.catalog import CATALOG
from robust_jax.datasets.official import RawSplit
from robust_jax.datasets.prepare import prepare

_N = {"train": 20, "test": 10}


class _Split(NamedTuple):
    images: np.ndarray
    labels: np.ndarray
    coarse: np.ndarray


def _examples(shape, classes):
    rng = np.random.default_rng(len(shape) + classes)
    return {
        split: _Split(
            rng.integers(0, 256, (n, *shape), dtype=np.uint8),
            rng.integers(0, classes, n).astype(np.uint8),
            rng.integers(0, 20, n).astype(np.uint8),
        )
        for split, n in _N.items()
    }


def _write_idx(folder: pathlib.Path):
    splits = _examples((28, 28, 1), 10)
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


def _write_tar(path: pathlib.Path, members: dict[str, bytes]):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def _cifar_records(*columns):
    *labels, images = columns
    rows = zip(*labels, images, strict=True)
    return b"".join(
        bytes([int(label) for label in row[:-1]])
        + b"".join(row[-1][:, :, channel].tobytes() for channel in range(3))
        for row in rows
    )


def _write_cifar10(folder: pathlib.Path):
    splits = _examples((32, 32, 3), 10)
    train, test = splits["train"], splits["test"]
    members = {"batches.meta.txt": "\n".join(map(str, range(10))).encode() + b"\n\n"}
    for batch in range(5, 0, -1):  # The order of the members is not that of the data.
        part = slice(4 * (batch - 1), 4 * batch)
        members[f"data_batch_{batch}.bin"] = _cifar_records(
            train.labels[part], train.images[part]
        )
    members["readme.html"] = b"<html>"
    members["test_batch.bin"] = _cifar_records(test.labels, test.images)
    members = {f"cifar-10-batches-bin/{name}": m for name, m in members.items()}
    _write_tar(folder / "cifar-10-binary.tar.gz", members)
    return splits


def _write_cifar100(folder: pathlib.Path):
    splits = _examples((32, 32, 3), 100)
    members = {
        f"cifar-100-binary/{split}.bin": _cifar_records(s.coarse, s.labels, s.images)
        for split, s in splits.items()
    }
    for kind, n in (("coarse", 20), ("fine", 100)):
        names = "".join(f"{kind}{k}\n" for k in range(n))
        members[f"cifar-100-binary/{kind}_label_names.txt"] = names.encode()
    _write_tar(folder / "cifar-100-binary.tar.gz", members)
    return splits


def _write_svhn(folder: pathlib.Path):
    splits = _examples((32, 32, 3), 10)
    for split, (images, labels, _) in splits.items():
        labels[:2] = 0, 9
        y = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
        content = {"X": np.moveaxis(images, 0, -1), "y": y}
        path = folder / f"{split}_32x32.mat"
        scipy.io.savemat(path, content, do_compression=True)
    return splits


_WRITERS = {
    "mnist": _write_idx,
    "fashion_mnist": _write_idx,
    "cifar10": _write_cifar10,
    "cifar100": _write_cifar100,
    "svhn": _write_svhn,
}
_FIRST_FILE = {
    "mnist": "train-images-idx3-ubyte.gz",
    "cifar10": "cifar-10-binary.tar.gz",
    "cifar100": "cifar-100-binary.tar.gz",
    "svhn": "test_32x32.mat",
}


@pytest.mark.parametrize("name", _WRITERS)
def test_an_official_archive_comes_back_exactly(name, tmp_path):
    (tmp_path / "official").mkdir()
    written = _WRITERS[name](tmp_path / "official")
    directory = prepare(name, tmp_path / "official", tmp_path / "data", verify=False)

    loaded = {s: datasets.load(name, s, tmp_path / "data") for s in tfds_source.SPLITS}
    assert len(loaded["validation"]) == (1 if "mnist" in name else 2)
    for split, (images, labels, _) in written.items():
        parts = ["train", "validation"] if split == "train" else ["test"]
        got = {
            int(i): (image, label)
            for part in parts
            for i, image, label in zip(
                loaded[part].ids,
                loaded[part].pixels(),
                loaded[part].labels,
                strict=True,
            )
        }
        pixels = images.astype(np.float32) / 255
        ids = example_ids(pixels, labels)
        assert set(got) == set(ids.tolist())
        for i, image, label in zip(ids.tolist(), pixels, labels, strict=True):
            np.testing.assert_array_equal(got[i][0], image)
            assert got[i][1] == label
    assert loaded["test"].num_classes == CATALOG[name].num_classes
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == [
        directory.parent.name
    ]


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100", "svhn"])
def test_plain_tfds_reads_it_with_the_stock_features(name, tmp_path):
    written = _WRITERS[name](tmp_path)["train"]
    prepare(name, tmp_path, tmp_path / "data", verify=False)
    source = tfds.data_source(
        CATALOG[name].tfds_name,
        split="train",
        data_dir=tmp_path / "data",
        download=False,
    )
    loaded = [
        datasets.load(name, s, tmp_path / "data") for s in ("train", "validation")
    ]
    order = np.concatenate([part.images for part in loaded])
    for at, record in enumerate(source):
        np.testing.assert_array_equal(record["image"], order[at])
        if name == "mnist":
            continue
        index = int(record["id"].decode().removeprefix("train_"))
        assert len(record["id"]) == len("train_00000") + (name == "svhn")
        np.testing.assert_array_equal(record["image"], written.images[index])
        assert record["label"] == written.labels[index]
        if name == "cifar100":
            assert record["coarse_label"] == written.coarse[index]
    if name == "cifar100":
        assert source.dataset_info.features["label"].names[7] == "fine7"


def test_the_order_is_that_of_tfds_own_builder(tmp_path):
    """Golden: tfds shuffles by a hash of our keys, and the splits are cut after it.

    These are the keys 0 to 9 in the order of tfds's Hasher("test"). With the same code
    the real MNIST has the order of everyone's tfds (test labels 2 0 4 8 7 ...).
    """
    written = _write_cifar10(tmp_path)["test"]
    prepare("cifar10", tmp_path, tmp_path / "data", verify=False)
    order = datasets.load("cifar10", "test", tmp_path / "data").ids
    ids = example_ids(written.images / 255, written.labels).tolist()
    assert [ids.index(i) for i in order.tolist()] == [6, 1, 8, 9, 4, 3, 2, 7, 5, 0]


def test_decoded_arrays_are_used_only_if_made_of_these_records(tmp_path):
    _write_idx(tmp_path)
    directory = prepare("mnist", tmp_path, tmp_path / "data", verify=False)
    expected = tfds_source.read(directory, "test")

    stale = expected._replace(labels=expected.labels[::-1])
    tfds_source.keep(directory, "test", stale)
    np.testing.assert_array_equal(
        tfds_source.read(directory, "test").labels, stale.labels
    )
    kept = directory / "arrays-test.npz"
    with np.load(kept) as file:
        content = dict(file)
    np.savez(kept, **{**content, "stamp": "of other records"})
    _same(tfds_source.read(directory, "test"), expected)
    kept.write_bytes(kept.read_bytes()[:-100])
    _same(tfds_source.read(directory, "test"), expected)
    kept.unlink()
    _same(tfds_source.read(directory, "test"), expected)
    assert not kept.exists()


def test_the_splits_do_not_depend_on_kept_arrays(tmp_path):
    _write_idx(tmp_path)
    directory = prepare("mnist", tmp_path, tmp_path / "data", verify=False)
    splits = ("train", "validation", "test")
    before = [datasets.load("mnist", split, tmp_path / "data") for split in splits]
    for kept in directory.glob("*.npz"):
        kept.unlink()
    for split, expected in zip(splits, before, strict=True):
        found = datasets.load("mnist", split, tmp_path / "data")
        _same(
            (found.images, found.labels, found.ids),
            (expected.images, expected.labels, expected.ids),
        )


def _same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", _FIRST_FILE)
def test_a_file_with_another_checksum_is_named(name, tmp_path):
    _WRITERS[name](tmp_path)
    file = "train_32x32.mat" if name == "svhn" else _FIRST_FILE[name]
    with pytest.raises(
        ValueError, match=f"{file} has sha256 [0-9a-f]{{64}}; expected "
    ):
        prepare(name, tmp_path, tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", _FIRST_FILE)
@pytest.mark.parametrize("left", [0, 2, 7, -1, 0.5])
def test_a_truncated_file_is_named_and_leaves_nothing(name, left, tmp_path):
    _WRITERS[name](tmp_path)
    path = tmp_path / _FIRST_FILE[name]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * left) if left == 0.5 else left])
    with pytest.raises(ValueError, match=f"{path.name} (is truncated or not a|starts)"):
        prepare(name, tmp_path, tmp_path / "data", verify=False)
    assert not (tmp_path / "data").exists()


def test_a_damaged_archive_fails_its_checksum(tmp_path):
    _write_cifar10(tmp_path)
    path = tmp_path / "cifar-10-binary.tar.gz"
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # of the CRC
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is truncated or not a tar.gz \(CRC check"):
        prepare("cifar10", tmp_path, tmp_path / "data", verify=False)


def test_a_missing_file_is_named_with_its_address(tmp_path):
    _write_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    words = "t10k-labels-idx1-ubyte.gz is missing; fetch it from https?://"
    with pytest.raises(FileNotFoundError, match=words):
        prepare("mnist", tmp_path, tmp_path / "data")


def test_labels_in_place_of_images_are_refused(tmp_path):
    _write_idx(tmp_path)
    labels = (tmp_path / "train-labels-idx1-ubyte.gz").read_bytes()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(labels)
    with pytest.raises(
        ValueError, match=r"starts with 00 00 08 01; expected .* rank 3"
    ):
        prepare("mnist", tmp_path, tmp_path / "data", verify=False)


def test_images_and_labels_of_different_number_are_refused(tmp_path):
    _write_idx(tmp_path)
    labels = (tmp_path / "t10k-labels-idx1-ubyte.gz").read_bytes()
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(labels)
    with pytest.raises(ValueError, match=r"has 20 images and .* has 10 labels"):
        prepare("mnist", tmp_path, tmp_path / "data", verify=False)


def test_a_short_idx_file_in_a_whole_gzip_is_refused(tmp_path):
    _write_idx(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1]))
    with pytest.raises(ValueError, match=r"15679 bytes of data; .*\(20, 28, 28\)"):
        prepare("mnist", tmp_path, tmp_path / "data", verify=False)


@pytest.mark.parametrize(
    ("shape", "label", "words"),
    [
        (
            (2, 14, 56),
            9,
            r"train images of mnist have shape \[2, 14, 56, 1\]; expected",
        ),
        ((0, 28, 28), 9, r"have shape \[0, 28, 28, 1\]"),
        ((2, 28, 28), 10, "train labels of mnist go up to 10; expected 0 to 9"),
    ],
)
def test_contents_of_another_kind_are_refused(shape, label, words, tmp_path):
    _write_idx(tmp_path)
    images = struct.pack(">IIII", 2051, *shape) + bytes(int(np.prod(shape)))
    labels = struct.pack(">II", 2049, shape[0]) + shape[0] * bytes([label])
    for kind, content in (("images-idx3", images), ("labels-idx1", labels)):
        path = tmp_path / f"train-{kind}-ubyte.gz"
        path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=words):
        prepare("mnist", tmp_path, tmp_path / "data", verify=False)
    assert not (tmp_path / "data").exists()


def test_an_unknown_data_set_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"dataset=cifar; .*did you mean cifar10"):
        prepare("cifar", tmp_path, tmp_path / "data")


@pytest.mark.parametrize("left", [0, 3072, 3074])
def test_a_ragged_cifar_batch_is_refused(left, tmp_path):
    _write_cifar10(tmp_path)
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path) as archive:
        members = {m.name: archive.extractfile(m).read() for m in archive}
    name = "cifar-10-batches-bin/data_batch_2.bin"
    _write_tar(path, {**members, name: members[name][:left]})
    with pytest.raises(ValueError, match=f"{left}.* bytes; expected multiples of 3073"):
        prepare("cifar10", tmp_path, tmp_path / "data", verify=False)
    del members[name]
    _write_tar(path, members)
    with pytest.raises(
        ValueError, match=r"lacks cifar-10-batches-bin/data_batch_2.bin"
    ):
        prepare("cifar10", tmp_path, tmp_path / "data", verify=False)


@pytest.mark.parametrize("label", [0, 11])
def test_svhn_labels_out_of_range_are_refused(label, tmp_path):
    images = np.moveaxis(_write_svhn(tmp_path)["test"].images, 0, -1)
    y = np.full((10, 1), label, np.uint8)
    scipy.io.savemat(tmp_path / "test_32x32.mat", {"X": images, "y": y})
    with pytest.raises(ValueError, match=r"expected uint8 .* labels in 1..10"):
        prepare("svhn", tmp_path, tmp_path / "data", verify=False)


def test_what_is_prepared_is_replaced_only_if_asked(tmp_path):
    _write_idx(tmp_path)
    directory = prepare("mnist", tmp_path, tmp_path / "data", verify=False)
    for path in tmp_path.glob("train-*"):  # The test images as train images, too.
        path.write_bytes((tmp_path / path.name.replace("train", "t10k")).read_bytes())
    with pytest.raises(FileExistsError, match="exists; pass --overwrite"):
        prepare("mnist", tmp_path, tmp_path / "data", verify=False)
    assert len(tfds_source.read(directory, "train").ids) == 20
    prepare("mnist", tmp_path, tmp_path / "data", verify=False, overwrite=True)
    assert len(tfds_source.read(directory, "train").ids) == 10
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["mnist"]


def test_a_failure_while_writing_leaves_what_was_there(tmp_path, monkeypatch):
    _write_idx(tmp_path)
    data = tmp_path / "data"
    directory = prepare("mnist", tmp_path, data, verify=False)
    before = sorted(p.name for p in data.rglob("*"))

    def fail(image):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_lib, "_png", fail)
    with pytest.raises(KeyboardInterrupt):
        prepare("mnist", tmp_path, data, verify=False, overwrite=True)
    assert sorted(p.name for p in data.rglob("*")) == before
    assert len(tfds_source.read(directory, "train").ids) == 20


def test_images_that_do_not_survive_the_round_trip_are_not_kept(tmp_path, monkeypatch):
    _write_idx(tmp_path)
    png = prepare_lib._png
    monkeypatch.setattr(prepare_lib, "_png", lambda image: png(image ^ 1))
    with pytest.raises(RuntimeError, match="does not give back the train images"):
        prepare("mnist", tmp_path, tmp_path / "data", verify=False)
    assert list((tmp_path / "data").iterdir()) == []


def test_a_data_dir_that_cannot_be_made_is_named(tmp_path):
    _write_idx(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"data_dir=.*file/data cannot be written"):
        prepare("mnist", tmp_path, tmp_path / "file" / "data", verify=False)


def test_verification_looks_at_the_images_too(tmp_path, monkeypatch):
    _write_idx(tmp_path)
    monkeypatch.setattr(official, "check_sha256", lambda path, expected: None)
    with pytest.raises(ValueError, match=r"train images of mnist have mean .0.5"):
        prepare("mnist", tmp_path, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_images_with_foreign_statistics_are_refused():
    """The channels of CIFAR-10, in two orders."""
    means = CATALOG["cifar10"].means
    white = [np.arange(10_000) < round(1e4 * mean) for mean in means]
    images = np.uint8(255) * np.stack(white, axis=-1).reshape(100, 10, 10, 3)
    prepare_lib._check_means("cifar10", RawSplit(images, {}))
    with pytest.raises(ValueError, match=r"train images of cifar10 have mean .0.4465"):
        prepare_lib._check_means("cifar10", RawSplit(images[..., ::-1], {}))
