"""Data sets of files; nothing in a file is executed."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from robust_jax import datasets

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 5, 4), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


class Malicious:
    """Unpickled, it leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_of_images_and_labels(folder):
    np.savez("a.npz", x=GREY, y=LABELS)
    np.savez_compressed("b.npz", images=GREY, mine=LABELS[::-1], labels=LABELS)
    np.save("other.npy", LABELS + 1)
    data = datasets.from_npz("a.npz")
    assert (data.name, data.split, data.images.shape) == ("a.npz", "", GREY.shape)
    assert data.labels.tolist() == LABELS.tolist()
    assert datasets.from_npz("b.npz").labels.tolist() == LABELS.tolist()
    mine = datasets.from_npz("b.npz", labels="mine").labels
    assert mine.tolist() == LABELS[::-1].tolist()
    assert datasets.from_npz("a.npz", labels="other.npy").num_classes == 4


def test_splits_of_a_file(folder):
    rest = {"x_train": GREY[:4], "y_train": LABELS[:4]}
    np.savez("a.npz", **rest, test_images=GREY[4:], test_labels=LABELS[4:])
    assert len(datasets.from_npz("a.npz", split="train")) == 4
    test = datasets.from_npz("a.npz")
    np.testing.assert_array_equal(test.images, GREY[4:])
    assert test.split == "test"
    with pytest.raises(ValueError, match="no array images or x; it has test_images"):
        datasets.from_npz("a.npz", split="validation")


def test_a_range_is_passed_on(folder):
    np.savez("a.npz", x=GREY / 127.5 - 1, y=LABELS)
    with pytest.raises(ValueError, match="a.npz: images hold values from -1 to 0.9"):
        datasets.from_npz("a.npz")
    pixels = datasets.from_npz("a.npz", image_range=(-1, 1)).pixels()
    np.testing.assert_allclose(pixels, GREY / 255, atol=1e-7)


def test_a_malicious_pickle_is_not_executed(folder):
    trap, harmless = np.array([Malicious(folder / "run")], object), {"y": LABELS}
    np.savez("a.npz", x=trap, **harmless)
    np.save("labels.npy", trap)
    (folder / "b.npz").write_bytes((folder / "labels.npy").read_bytes()[128:])
    np.savez("c.npz", x=GREY)
    with pytest.raises(ValueError, match="a.npz: the array x holds Python objects"):
        datasets.from_npz("a.npz")
    with pytest.raises(ValueError, match="labels=labels.npy cannot be read"):
        datasets.from_npz("c.npz", labels="labels.npy")
    with pytest.raises(ValueError, match="images=b.npz cannot be read .another kind"):
        datasets.from_npz("b.npz")
    assert not (folder / "run").exists()
    np.load("a.npz", allow_pickle=True)["x"]  # It would.
    assert (folder / "run").exists()


def test_files_that_are_no_such_data(folder):
    np.savez("whole.npz", images=GREY, labels=LABELS)
    whole = (folder / "whole.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[:-50])
    spoilt = bytearray(whole)
    spoilt[200] ^= 1
    (folder / "spoilt.npz").write_bytes(spoilt)
    (folder / "empty.npz").write_bytes(b"")
    np.save("alone.npy", GREY)
    np.savez("bare.npz", images=GREY)
    np.savez("few.npz", images=GREY, labels=LABELS[1:])
    for given, said in (
        ({"path": "cut.npz"}, "cut.npz cannot be read .* expected a whole .npz"),
        ({"path": "spoilt.npz"}, "the array images cannot be read"),
        ({"path": "empty.npz"}, "empty.npz cannot be read"),
        ({"path": "alone.npy"}, "holds one array; expected a .npz"),
        ({"path": "bare.npz"}, "no array labels or y; it has images; save"),
        ({"path": "few.npz"}, r"few.npz: labels.shape=.5,.; expected .6,."),
        ({"path": "bare.npz", "labels": "t"}, "has no array t; it has images"),
        ({"path": "bare.npz", "labels": "whole.npz"}, "has no array whole.npz"),
    ):
        with pytest.raises(ValueError, match=said) as caught:
            datasets.from_npz(**given)
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="labels=no.npy: no such file"):
        datasets.from_npz("bare.npz", labels="no.npy")


def written(folder, names, mode="L"):
    for name, pixels in zip(names, GREY, strict=False):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).convert(mode).save(path)


def test_a_folder_by_class(folder):
    written(folder, ["cat/b.png", "cat/a.PNG", "ant/c.png", ".hidden/d.png"])
    (folder / "cat" / ".DS_Store").touch()
    data = datasets.from_folder(folder)
    assert data.labels.tolist() == [0, 1, 1] and data.name == folder.name
    assert data.classes == data.take([0]).classes == ("ant", "cat")
    np.testing.assert_array_equal(data.images[..., 0], GREY[[2, 1, 0]])


def test_names_that_are_numbers_are_the_classes(folder):
    written(folder, ["10/a.png", "2/b.jpg"], mode="RGB")
    data = datasets.from_folder(folder)
    assert set(data.labels.tolist()) == {2, 10} and data.num_classes == 11
    assert data.classes == ()
    assert data.images.shape == (2, 5, 4, 3)


def test_folders_that_are_no_such_data(folder):
    cases = {
        "flat": ("a.png", None, "has no sub-folders; expected one per class"),
        "none": (".x/a.png", "c/.x", "has no PNG or JPEG in its sub-folders"),
        "text": ("c/a.png", "c/b.txt", "b.txt is no PNG or JPEG by its name"),
        "fake": ("c/a.png", "c/b.png", "b.png cannot be read .*write or copy it"),
    }
    for name, (image, other, said) in cases.items():
        written(folder / name, [image])
        if other is not None:
            (folder / name / other).parent.mkdir(exist_ok=True)
            (folder / name / other).write_text("no image")
        with pytest.raises(ValueError, match=said) as caught:
            datasets.from_folder(folder / name)
        assert "\n" not in str(caught.value)


def test_images_that_do_not_go_together(folder):
    written(folder / "sizes", ["c/a.png"])
    Image.fromarray(GREY[0, :3]).save(folder / "sizes" / "c" / "b.png")
    written(folder / "alpha", ["c/a.png"], mode="RGBA")
    written(folder / "deep", ["c/a.png"], mode="I;16")
    written(folder / "cut", ["c/a.png"])
    cut = folder / "cut" / "c" / "a.png"
    cut.write_bytes(cut.read_bytes()[:-30])
    for name, said in (
        ("sizes", r"b.png has shape .3, 4, 1., others .5, 4, 1."),
        ("alpha", "mode RGBA; expected 8-bit grey or RGB"),
        ("deep", "of mode I;16"),
        ("cut", "a.png cannot be read"),
    ):
        with pytest.raises(ValueError, match=said):
            datasets.from_folder(folder / name)
