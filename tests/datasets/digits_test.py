import gzip
import hashlib
import importlib.util
import types

import numpy as np
import pytest

from robust_jax import datasets
from robust_jax.core.ids import example_ids
from robust_jax.datasets import digits

_SPLITS = {split: digits.load(split) for split in ("train", "validation", "test")}


def test_sizes_and_classes_of_the_splits():
    sizes = {split: len(data) for split, data in _SPLITS.items()}
    assert sizes == {"train": 1147, "validation": 150, "test": 500}
    for data in _SPLITS.values():
        share = np.bincount(data.labels, minlength=10) / len(data)
        assert share.min() > 0.06 and share.max() < 0.14


def test_the_splits_are_a_partition_of_what_scikit_learn_loads():
    bunch = importlib.import_module("sklearn.datasets").load_digits()
    expected = example_ids((bunch.images / 16)[..., None], bunch.target)
    ids = np.concatenate([data.ids for data in _SPLITS.values()])
    assert len(np.unique(ids)) == 1797
    np.testing.assert_array_equal(np.sort(ids), np.sort(expected))


def test_ids_belong_to_the_pixels():
    for data in _SPLITS.values():
        assert data.images.shape[1:] == (8, 8, 1)
        assert data.pixels().max() == 1
        np.testing.assert_array_equal(data.ids, example_ids(data.pixels(), data.labels))


def test_the_splits_never_change():
    """Golden: published numbers are about these splits, in this order."""
    found = {
        split: hashlib.sha256(data.ids.astype("<u8").tobytes()).hexdigest()[:16]
        for split, data in _SPLITS.items()
    }
    assert found == {
        "train": "220c1f10d274754a",
        "validation": "85d85b5239f05d8d",
        "test": "9acea11c4fc7c617",
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is missing; reinstall scikit-learn"),
        (gzip.compress(b"1,2,3\n", mtime=0), r"shape \(1, 3\)"),
        (gzip.compress(b"0,1\n" * 99, mtime=0)[:-20], "cannot be read"),
        (b"not gzip", "cannot be read"),
    ],
)
def test_a_damaged_installation_is_named(tmp_path, monkeypatch, content, words):
    folder = tmp_path / "datasets" / "data"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "digits.csv.gz").write_bytes(content)
    spec = types.SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises((FileNotFoundError, ValueError), match=words):
        datasets.load("digits", "test")


def test_without_scikit_learn_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"robust-jax\[data\]"):
        datasets.load("digits", "test")
