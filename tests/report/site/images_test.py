"""What the image browser chooses, reads, draws and says, without a page."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from robust_jax.report.site import examples, images, pictures, rows
from tests import saved_runs


def shown(uri):
    """The pixels of a picture."""
    head, _, data = uri.partition(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def browser(folder, record=None, limit=200, **changes):
    arrays = {**saved_runs.arrays(**changes)}
    saved_runs.save(folder, record or saved_runs.record(), arrays)
    return images.browser(record or saved_runs.record(), folder, limit), arrays


def items_at(found):
    return {item["at"]: item for item in found["items"]}


def test_every_image_stands_with_its_own_pictures_and_answers(tmp_path):
    found, arrays = browser(tmp_path)
    assert found["missing"] == "" and found["n"] == 12
    assert sorted(items_at(found)) == list(range(12))
    for at, item in items_at(found).items():
        for kind, name in (("clean", "x"), ("adversarial", "x_adv")):
            wanted = np.rint(255 * arrays[name][at, ..., 0])
            np.testing.assert_array_equal(shown(item[kind])[..., 0], wanted)
        assert item["truth"] == ("circle", "square", "star")[at // 4]
        assert item["sort"]["confidence"] == pytest.approx(arrays["confidence"][at])
        assert item["text"]["margin_adv"] == ("−0.5" if at % 4 == 2 else "+0.5")
        assert (item["outcome"], item["stage"]) == [
            ("broken", "apgd-ce"), ("broken", "square"), ("holds", ""), ("wrong", "")
        ][at % 4]  # fmt: skip
        assert item["is_right_before"] == (at % 4 != 3)
        assert item["is_right_after"] == (at % 4 == 2)
    outcomes = [item["outcome"] for item in found["items"]]
    assert outcomes == ["broken"] * 6 + ["wrong"] * 3 + ["holds"] * 3
    assert found["stages"] == [(0, "apgd-ce"), (1, "square")]
    assert found["classes"] == [(0, "circle"), (1, "square"), (2, "star")]


def test_a_difference_is_blue_where_darker_and_orange_where_lighter(tmp_path):
    found, arrays = browser(tmp_path)
    change = arrays["x_adv"][0, ..., 0] - arrays["x"][0, ..., 0]
    item = items_at(found)[0]
    assert item["factor"] == 5  # 0.5 / eps
    picture = shown(item["difference"]).astype(int)
    assert (picture[change < 0] == (0, 114, 178)).all()
    assert (picture[change > 0] == (213, 94, 0)).all()
    untouched = items_at(found)[2]
    assert untouched["factor"] == 0
    assert (shown(untouched["difference"]) == 247).all()


def test_a_difference_is_that_of_the_channel_that_changed_most():
    clean = np.full((4, 4, 3), 0.5, np.float32)
    found = clean.copy()
    found[0, 0] = (0.6, 0.3, 0.55)
    made = pictures.drawn([(clean, found)], "HWC", "a test")
    picture = shown(made.drawn[0].difference)
    assert made.drawn[0].factor == 2
    # -0.2 times 2 is four fifths of the way from white to blue.
    assert picture[0, 0].tolist() == [49, 141, 192]


@pytest.mark.parametrize(
    ("shape", "said", "layout"),
    [
        ((8, 8), None, "HW"),
        ((8, 8, 3), None, "HWC"),
        ((3, 8, 8), None, "CHW"),
        ((3, 8, 8), "HWC", "HWC"),
        ((4, 8, 8), "CHW", "CHW"),
        ((5, 8, 8), None, "HWC"),
        ((64,), None, None),
        ((2, 8, 8, 3), "HWC", None),
        ((0, 8, 1), None, None),
    ],
)
def test_where_channels_are(shape, said, layout):
    assert pictures.layout(shape, said) == layout


def test_channels_first_is_turned(tmp_path):
    record = saved_runs.record(layout="CHW")
    found, arrays = browser(tmp_path, record, shape=(3, 8, 10))
    assert found["size"] == (8, 10)
    wanted = np.rint(255 * np.moveaxis(arrays["x"][5], 0, -1))
    np.testing.assert_array_equal(shown(items_at(found)[5]["clean"]), wanted)


def test_other_numbers_of_channels_show_the_first_and_say_so(tmp_path):
    found, arrays = browser(tmp_path, shape=(8, 8, 5))
    wanted = np.rint(255 * arrays["x"][3, ..., 0])
    np.testing.assert_array_equal(shown(items_at(found)[3]["clean"])[..., 1], wanted)
    assert found["notes"] == ["The images have 5 channels; the first is shown."]


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 255), (-3.5, 3), (0, 1.25)])
def test_other_ranges_are_shown_from_black_to_white(tmp_path, low, high):
    arrays = saved_runs.arrays(low=low, high=high)
    arrays["x"][0].flat[:2] = arrays["x_adv"][0].flat[:2] = low, high
    saved_runs.save(tmp_path, saved_runs.record(), arrays)
    found = images.browser(saved_runs.record(), tmp_path)
    assert found["notes"] == [f"Black is {low} and white is {high}."]
    picture = shown(items_at(found)[0]["clean"])
    wanted = np.rint(255 * (arrays["x"][0] - low) / (high - low))
    np.testing.assert_allclose(picture[..., :1], wanted, atol=1)
    assert items_at(found)[0]["factor"] == 5


def test_large_images_are_reduced_and_fit_the_page(monkeypatch):
    shape = (224, 200, 3)
    clean = np.random.default_rng(0).uniform(0, 0.9, (2, *shape)).astype(np.float32)
    adversarial = clean.copy()
    adversarial[:, 3, 4] += 0.1  # One pixel of a block of nine.
    monkeypatch.setattr(pictures, "_BYTES", 2_000)
    made = pictures.drawn(zip(clean, adversarial, strict=True), "HWC", "a test")
    assert made.size == (75, 67)
    assert "from 224 × 200 to 75 × 67" in made.notes[0]
    assert "some loss" in made.notes[1]
    difference = shown(made.drawn[0].difference)
    assert difference[1, 1].tolist() == [213, 94, 0]
    assert (np.delete(difference.reshape(-1, 3), 68, axis=0) == 247).all()


def test_pictures_of_a_page_take_no_more_than_their_share(monkeypatch):
    rng = np.random.default_rng(0)
    clean = rng.uniform(0, 1, (16, 32, 32, 3)).astype(np.float32)
    pairs = [(each, np.clip(each + 0.1, 0, 1)) for each in clean]

    def size():
        made = pictures.drawn(pairs, "HWC", "a test")
        return sum(len(uri) for d in made.drawn for uri in d[:3]) * 3 / 4, made.notes

    whole, notes = size()
    assert notes == []
    monkeypatch.setattr(pictures, "_BYTES", 0.4 * whole)
    less, notes = size()
    assert less < 0.41 * whole and "some loss" in notes[0]


def test_more_images_than_the_limit_are_chosen_in_turns():
    winner = np.repeat([-1, 0, 1, -2], [1000, 500, 3, 20])
    labels = np.tile([0, 0, 0, 1], len(winner) // 4 + 1)[: len(winner)]
    at = examples.chosen(winner, labels, 43)
    assert (np.diff(at) > 0).all()
    counts = {w: int((winner[at] == w).sum()) for w in (-1, 0, 1, -2)}
    assert counts == {-1: 14, 0: 13, 1: 3, -2: 13}
    holds = at[winner[at] == -1]  # As many of the rare class, as long as there are.
    assert np.bincount(labels[holds]).tolist() == [7, 7]
    assert holds[labels[holds] == 1].tolist() == [3, 7, 11, 15, 19, 23, 27]


def test_all_images_are_chosen_below_the_limit():
    winner, labels = np.array([-1, 0, -1]), np.array([2, 2, 0])
    assert examples.chosen(winner, labels, 3).tolist() == [0, 1, 2]


def test_no_more_than_the_limit_is_on_the_page(tmp_path):
    found, _ = browser(tmp_path, limit=5, n=40)
    assert len(found["items"]) == 5
    outcomes = [(o["code"], o["here"], o["total"]) for o in found["outcomes"]]
    assert outcomes == [("broken", 3, 20), ("wrong", 1, 10), ("holds", 1, 10)]


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
def test_rows_are_those_of_numpy(tmp_path, compressed, dtype):
    array = np.random.default_rng(0).uniform(0, 255, (300, 40, 41)).astype(dtype)
    save = np.savez_compressed if compressed else np.savez
    save(tmp_path / "a.npz", first=np.zeros(3), array=array)
    at = [0, 1, 7, 255, 299]
    found = list(rows.rows(tmp_path / "a.npz", "array", at))
    np.testing.assert_array_equal(np.stack(found), array[at])
    assert found[0].dtype == dtype


def test_reading_ends_with_the_last_row_asked_for(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", array=np.zeros((50, 1 << 16), np.float32))
    read, exactly = [], rows._exactly

    def counted(file, size):
        read.append(size)
        return exactly(file, size)

    monkeypatch.setattr(rows, "_exactly", counted)
    list(rows.rows(tmp_path / "a.npz", "array", [3]))
    assert sum(read) == 4 << 18 and max(read) <= 1 << 18


def test_old_files_and_other_inputs_are_left_out_in_a_sentence(tmp_path):
    assert images.browser(saved_runs.record(), tmp_path) is None
    old = {k: v for k, v in saved_runs.arrays().items() if k not in ("x", "labels")}
    saved_runs.save(tmp_path, saved_runs.record(), old)
    found = images.browser(saved_runs.record(), tmp_path)
    assert found["missing"].endswith("adversarial.npz has no x, labels.")
    found, _ = browser(tmp_path / "flat", shape=(64,))
    assert found == {"missing": "Inputs of shape (64,) are no images to be shown."}


def damaged(path, how):
    data = path.read_bytes()
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "no zip":
        path.write_bytes(b"adversarial")
    elif how == "a bit":
        middle = data.index(b"x_adv.npy") + 200
        broken = bytes(255 - byte for byte in data[middle : middle + 50])
        path.write_bytes(data[:middle] + broken + data[middle + 50 :])
    else:
        with np.load(path) as whole:
            arrays = dict(whole)
        changes = {
            "fewer": {"x_adv": arrays["x_adv"][:-1]},
            "odd": {"labels": arrays["labels"][:, None]},
            "none": {name: array[:0] for name, array in arrays.items()},
            "objects": {"winner": np.array([None] * 12)},
            "text": {"x": arrays["x"].astype("S")},
        }
        np.savez_compressed(path, **{**arrays, **changes[how]})


@pytest.mark.parametrize(
    "how", ["cut", "no zip", "a bit", "fewer", "odd", "none", "objects", "text"]
)
def test_damaged_files_are_left_out_in_a_sentence(tmp_path, how):
    saved_runs.save(tmp_path, saved_runs.record(), saved_runs.arrays())
    damaged(tmp_path / "adversarial.npz", how)
    found = images.browser(saved_runs.record(), tmp_path)
    assert set(found) == {"missing"}
    assert found["missing"].startswith("adversarial.npz of this run cannot be read (")


def test_numbers_that_are_not_finite_are_told_and_not_sorted(tmp_path):
    arrays = saved_runs.arrays()
    arrays["margin_adv"][0] = np.inf
    arrays["confidence_adv"][0] = np.nan
    arrays["x_adv"][0, 0, 0] = np.nan
    saved_runs.save(tmp_path, saved_runs.record(), arrays)
    item = items_at(images.browser(saved_runs.record(), tmp_path))[0]
    assert item["text"]["margin_adv"] == item["text"]["confidence_adv"] == "not finite"
    assert item["sort"]["margin_adv"] == item["sort"]["confidence_adv"] == ""


def test_names_that_are_not_known_are_numbers(tmp_path):
    record = saved_runs.record(classes=["circle"])
    record["series"]["evaluation"]["ledger"] = []
    found, _ = browser(tmp_path, record)
    assert [name for _, name in found["classes"]] == ["circle", "1", "2"]
    assert [name for _, name in found["stages"]] == ["stage 0", "stage 1"]
    del record["series"]["evaluation"], record["series"]["classes"]
    assert items_at(images.browser(record, tmp_path))[0]["truth"] == "0"
