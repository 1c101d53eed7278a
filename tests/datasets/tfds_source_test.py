import json
import os

import pytest

from robust_jax.datasets import tfds_source


def _prepared(root, version, file_format="array_record"):
    directory = root / "mnist" / version
    directory.mkdir(parents=True)
    info = {"name": "mnist", "fileFormat": file_format}
    (directory / "dataset_info.json").write_text(json.dumps(info))
    return directory


def test_the_newest_version_is_found(tmp_path):
    _prepared(tmp_path, "3.0.2")
    newest = _prepared(tmp_path, "3.0.10")
    _prepared(tmp_path, "incomplete.ABC_4.0.0")
    (tmp_path / "mnist" / "5.0.0").mkdir()  # prepared by nobody
    assert tfds_source.find("mnist", tmp_path) == newest


def test_nothing_prepared_says_where_and_what_to_run(tmp_path):
    words = (
        f"mnist is not prepared in {tmp_path}; run robust-jax prepare-data "
        f"--dataset=mnist --manual_dir=.* --data_dir={tmp_path}$"
    )
    with pytest.raises(FileNotFoundError, match=words):
        tfds_source.load("mnist", "test", tmp_path)


def test_the_default_directory_is_that_of_tfds(monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    home = os.path.expanduser("~/tensorflow_datasets")
    assert os.fspath(tfds_source.data_root()) == home
    monkeypatch.setenv("TFDS_DATA_DIR", "/somewhere")
    assert os.fspath(tfds_source.data_root()) == "/somewhere"
    assert os.fspath(tfds_source.data_root("/given")) == "/given"


def test_records_that_need_tensorflow_are_named(tmp_path):
    _prepared(tmp_path, "3.0.1", "tfrecord")
    with pytest.raises(ValueError, match="stored as tfrecord; expected array_record"):
        tfds_source.load("mnist", "test", tmp_path)


@pytest.mark.parametrize("content", ["", "[]"])
def test_a_damaged_description_is_named(tmp_path, content):
    directory = _prepared(tmp_path, "3.0.1")
    (directory / "dataset_info.json").write_text(content)
    with pytest.raises(ValueError, match=r"dataset_info.json is damaged.*prepare it"):
        tfds_source.load("mnist", "test", tmp_path)


@pytest.mark.parametrize("content", [None, b"", bytes(100_000)])
def test_damaged_records_are_named(tmp_path, content):
    directory = _prepared(tmp_path, "3.0.1")
    image = {"image": {"dtype": "uint8", "shape": {"dimensions": ["28", "28", "1"]}}}
    base = "tensorflow_datasets.core.features"
    features = {
        "image": {"pythonClassName": f"{base}.image_feature.Image", **image},
        "label": {
            "pythonClassName": f"{base}.class_label_feature.ClassLabel",
            "classLabel": {"numClasses": "10"},
        },
    }
    top = {
        "pythonClassName": f"{base}.features_dict.FeaturesDict",
        "featuresDict": {"features": features},
    }
    (directory / "features.json").write_text(json.dumps(top))
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    splits = [{"name": "test", "shardLengths": ["9"], "filepathTemplate": template}]
    info = {"name": "mnist", "version": "3.0.1", "fileFormat": "array_record"}
    info_path = directory / "dataset_info.json"
    info_path.write_text(json.dumps({**info, "splits": splits}))
    if content is not None:
        shard = directory / "mnist-test.array_record-00000-of-00001"
        shard.write_bytes(content)
    with pytest.raises(ValueError, match=r"the test records in .* cannot be read"):
        tfds_source.load("mnist", "test", tmp_path)
