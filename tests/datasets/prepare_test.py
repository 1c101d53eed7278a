"""Twenty-image archives in the official layouts, there and back."""

import tempfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from robust_jax import datasets
from robust_jax.core.ids import example_ids
from robust_jax.datasets import tfds_source
from robust_jax.datasets.catalog import CATALOG
from robust_jax.datasets.prepare import prepare
from tests.datasets.archives import WRITERS, write_cifar10, write_idx

NAMES = {  # Of the data sets that have some.
    "fashion_mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    "cifar10": tuple(map(str, range(10))),
    "cifar100": tuple(f"fine{k}" for k in range(100)),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_an_official_archive_comes_back_exactly(name, tmp_path):
    (tmp_path / "official").mkdir()
    written = WRITERS[name](tmp_path / "official")
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
    assert loaded["test"].classes == loaded["train"].classes == NAMES.get(name, ())
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == [
        directory.parent.name
    ]


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100", "svhn"])
def test_plain_tfds_reads_it_with_the_stock_features(name, tmp_path):
    written = WRITERS[name](tmp_path)["train"]
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


def test_nothing_is_left_in_the_temporary_directory(tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    write_idx(tmp_path)
    prepare("mnist", tmp_path, tmp_path / "data", verify=False)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_order_is_that_of_tfds_own_builder(tmp_path):
    """Golden: tfds shuffles by a hash of our keys, and the splits are cut after it.

    These are the keys 0 to 9 in the order of tfds's Hasher("test"). With the same code
    the real MNIST has the order of everyone's tfds (test labels 2 0 4 8 7 ...).
    """
    written = write_cifar10(tmp_path)["test"]
    prepare("cifar10", tmp_path, tmp_path / "data", verify=False)
    order = datasets.load("cifar10", "test", tmp_path / "data").ids
    ids = example_ids(written.images / 255, written.labels).tolist()
    assert [ids.index(i) for i in order.tolist()] == [6, 1, 8, 9, 4, 3, 2, 7, 5, 0]


def test_decoded_arrays_are_used_only_if_made_of_these_records(tmp_path):
    write_idx(tmp_path)
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
    dimmed = {"images": content["images"] // 2}
    for other in ({"stamp": "of other records"}, dimmed, {"labels": content["ids"]}):
        np.savez(kept, **{**content, **other})
        _same(tfds_source.read(directory, "test"), expected)
    kept.write_bytes(kept.read_bytes()[:-100])
    _same(tfds_source.read(directory, "test"), expected)
    kept.unlink()
    _same(tfds_source.read(directory, "test"), expected)
    assert not kept.exists()


def test_the_splits_do_not_depend_on_kept_arrays(tmp_path):
    write_idx(tmp_path)
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
