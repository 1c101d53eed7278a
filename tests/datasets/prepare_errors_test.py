"""Wrong archives and failures on the way: one sentence, nothing half-written."""

import contextlib
import gzip
import struct
import tarfile
import tracemalloc
import zlib

import numpy as np
import pytest
import scipy.io

from robust_jax.datasets import official, prepare as prepare_lib, tfds_source
from robust_jax.datasets.catalog import CATALOG
from robust_jax.datasets.official import RawSplit
from robust_jax.datasets.prepare import prepare
from tests.datasets.archives import (
    FIRST_FILE,
    WRITERS,
    write_cifar10,
    write_idx,
    write_svhn,
    write_tar,
)


@pytest.mark.parametrize("name", FIRST_FILE)
def test_a_file_with_another_checksum_is_named(name, tmp_path):
    WRITERS[name](tmp_path)
    file = "train_32x32.mat" if name == "svhn" else FIRST_FILE[name]
    with pytest.raises(
        ValueError, match=f"{file} has sha256 [0-9a-f]{{64}}; expected "
    ):
        prepare(name, tmp_path, tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", FIRST_FILE)
@pytest.mark.parametrize("left", [0, 2, 7, -1, 0.5])
def test_a_truncated_file_is_named_and_leaves_nothing(name, left, tmp_path):
    WRITERS[name](tmp_path)
    path = tmp_path / FIRST_FILE[name]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * left) if left == 0.5 else left])
    with pytest.raises(ValueError, match=f"{path.name} (is truncated or not a|starts)"):
        prepare(name, tmp_path, tmp_path / "data", verify=False)
    assert not (tmp_path / "data").exists()


def test_a_damaged_archive_fails_its_checksum(tmp_path):
    write_cifar10(tmp_path)
    path = tmp_path / "cifar-10-binary.tar.gz"
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # of the CRC
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is truncated or not a tar.gz \(CRC check"):
        prepare("cifar10", tmp_path, tmp_path / "data", verify=False)


def test_a_missing_file_is_named_with_its_address(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    words = "t10k-labels-idx1-ubyte.gz is missing; fetch it from https?://"
    with pytest.raises(FileNotFoundError, match=words):
        prepare("mnist", tmp_path, tmp_path / "data")


def test_labels_in_place_of_images_are_refused(tmp_path):
    write_idx(tmp_path)
    labels = (tmp_path / "train-labels-idx1-ubyte.gz").read_bytes()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(labels)
    with pytest.raises(
        ValueError, match=r"starts with 00 00 08 01; expected .* rank 3"
    ):
        prepare("mnist", tmp_path, tmp_path / "data", verify=False)


def test_images_and_labels_of_different_number_are_refused(tmp_path):
    write_idx(tmp_path)
    labels = (tmp_path / "t10k-labels-idx1-ubyte.gz").read_bytes()
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(labels)
    with pytest.raises(ValueError, match=r"has 20 images and .* has 10 labels"):
        prepare("mnist", tmp_path, tmp_path / "data", verify=False)


def test_a_short_idx_file_in_a_whole_gzip_is_refused(tmp_path):
    write_idx(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1]))
    with pytest.raises(ValueError, match=r"15679 bytes of data; .*\(20, 28, 28\)"):
        prepare("mnist", tmp_path, tmp_path / "data", verify=False)


@pytest.mark.parametrize("length", [0, 3, 4, 6, 13, 15])
def test_an_idx_file_with_half_a_head_is_refused(tmp_path, length):
    write_idx(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:length]))
    with pytest.raises(ValueError, match=f"ubyte.gz is tr.* .{length} of the 16 byt"):
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
    write_idx(tmp_path)
    images = struct.pack(">IIII", 2051, *shape) + bytes(int(np.prod(shape)))
    labels = struct.pack(">II", 2049, shape[0]) + shape[0] * bytes([label])
    for kind, content in (("images-idx3", images), ("labels-idx1", labels)):
        path = tmp_path / f"train-{kind}-ubyte.gz"
        path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=words):
        prepare("mnist", tmp_path, tmp_path / "data", verify=False)
    assert not (tmp_path / "data").exists()


def test_an_unknown_data_set_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"dataset 'cifar'; did you mean 'cifar10'"):
        prepare("cifar", tmp_path, tmp_path / "data")


@pytest.mark.parametrize("left", [0, 3072, 3074])
def test_a_ragged_cifar_batch_is_refused(left, tmp_path):
    write_cifar10(tmp_path)
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path) as archive:
        members = {m.name: archive.extractfile(m).read() for m in archive}
    name = "cifar-10-batches-bin/data_batch_2.bin"
    write_tar(path, {**members, name: members[name][:left]})
    with pytest.raises(ValueError, match=f"{left}.* bytes; expected multiples of 3073"):
        prepare("cifar10", tmp_path, tmp_path / "data", verify=False)
    del members[name]
    write_tar(path, members)
    with pytest.raises(
        ValueError, match=r"lacks cifar-10-batches-bin/data_batch_2.bin"
    ):
        prepare("cifar10", tmp_path, tmp_path / "data", verify=False)


@pytest.mark.parametrize("label", [0, 11])
def test_svhn_labels_out_of_range_are_refused(label, tmp_path):
    images = np.moveaxis(write_svhn(tmp_path)["test"].images, 0, -1)
    y = np.full((10, 1), label, np.uint8)
    scipy.io.savemat(tmp_path / "test_32x32.mat", {"X": images, "y": y})
    with pytest.raises(ValueError, match=r"expected uint8 .* labels in 1..10"):
        prepare("svhn", tmp_path, tmp_path / "data", verify=False)


def test_what_is_prepared_is_replaced_only_if_asked(tmp_path):
    write_idx(tmp_path)
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
    write_idx(tmp_path)
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
    write_idx(tmp_path)
    png = prepare_lib._png
    monkeypatch.setattr(prepare_lib, "_png", lambda image: png(image ^ 1))
    with pytest.raises(ValueError, match="does not give back the train images"):
        prepare("mnist", tmp_path, tmp_path / "data", verify=False)
    assert list((tmp_path / "data").iterdir()) == []


@contextlib.contextmanager
def little_memory():
    """What a file unpacks to may not be held; that of a bomb is 64 MiB here."""
    tracemalloc.start()
    yield
    assert tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()


BOMB = bytes(1 << 26)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (struct.pack(">IIII", 2051, 20, 28, 28), "more than 15680 bytes of data; exp"),
        (struct.pack(">IIII", 2051, *[2**32 - 1] * 3), "says that it holds an array"),
        (b"", "starts with 00 00 00 00; expected an idx file"),
    ],
)
def test_an_idx_file_that_unpacks_without_end_is_refused(head, words, tmp_path):
    write_idx(tmp_path)
    packed = gzip.compress(head + BOMB, 1)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(packed)
    with little_memory(), pytest.raises(ValueError, match=words):
        prepare("mnist", tmp_path, tmp_path / "data", verify=False)


@pytest.mark.parametrize("member", ["cifar-10-batches-bin/test_batch.bin", "other"])
def test_an_archive_that_unpacks_without_end_is_refused(tmp_path, monkeypatch, member):
    monkeypatch.setattr(official, "_MOST", 1 << 20)
    write_tar(tmp_path / "cifar-10-binary.tar.gz", {member: BOMB})
    words = "test_batch.bin has 67,108,864" if "cifar" in member else "it unpacks to"
    with little_memory(), pytest.raises(ValueError, match=words):
        prepare("cifar10", tmp_path, tmp_path / "data", verify=False)


def test_matlab_files_that_unpack_without_end_are_refused(tmp_path, monkeypatch):
    write_svhn(tmp_path)
    path = tmp_path / "train_32x32.mat"
    head = path.read_bytes()[:128]
    monkeypatch.setattr(official, "_MOST", 1 << 20)
    packed = zlib.compress(BOMB, 1)
    path.write_bytes(head + struct.pack("<II", 15, len(packed)) + packed)
    with little_memory(), pytest.raises(ValueError, match="unpacks to more than"):
        prepare("svhn", tmp_path, tmp_path / "data", verify=False)
    cells = np.zeros((32, 32, 3, 1)).astype(object)
    scipy.io.savemat(path, {"X": cells, "y": np.ones((1, 1), np.uint8)})
    with pytest.raises(ValueError, match="X and y are cell and uint8"):
        prepare("svhn", tmp_path, tmp_path / "data", verify=False)


def test_a_data_dir_that_cannot_be_made_is_named(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"data_dir=.*file/data cannot be written"):
        prepare("mnist", tmp_path, tmp_path / "file" / "data", verify=False)


def test_verification_looks_at_the_images_too(tmp_path, monkeypatch):
    write_idx(tmp_path)
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
