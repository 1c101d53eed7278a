"""What `Report.save` leaves: the record, its page, the arrays, the picture."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, interop, report, threats
from robust_jax.core import records
from robust_jax.core.metrics import Proportion
from robust_jax.evaluate import Layout, Stage, robustness
from tests import victims

N, SHAPE, CLASSES = 12, (4, 4, 1), 3
NET = victims.affine_victim(SHAPE, CLASSES)
IMAGES = np.random.default_rng(3).uniform(0.2, 0.8, (N, *SHAPE)).astype(np.float32)
LABELS = np.array(victims.predicted(NET, IMAGES))
LABELS[0] = (LABELS[0] + 1) % CLASSES  # Wrong without an attack.
FGSM = (Stage("fgsm", attacks.fgsm()),)
EACH = {"x_adv", "winner", "clean", "ids", "useful_forwards", "useful_backwards"}
LOOKED_AT = {"predicted", "confidence", "margin"}


def judged(model=NET, images=IMAGES, **options):
    options = {"plan": FGSM, "layout": Layout(tile=8), "audit": False, **options}
    return robustness(model, images, LABELS, threats.Linf(0.15), seed=5, **options)


@functools.cache
def found():
    return judged(name="affine")


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_the_arrays_are_what_the_net_says_of_both_images(tmp_path):
    folder = found().save(tmp_path / "out")
    with np.load(folder / "adversarial.npz") as kept:
        arrays = dict(kept)
    after = {f"{name}_adv" for name in LOOKED_AT}
    assert set(arrays) == EACH | {"x", "labels"} | LOOKED_AT | after
    np.testing.assert_array_equal(arrays["x"], IMAGES)
    np.testing.assert_array_equal(arrays["labels"], LABELS)
    assert 0 < (arrays["winner"] >= 0).sum() < N - 1 and arrays["winner"][0] == -2
    for suffix, images in (("", IMAGES), ("_adv", arrays["x_adv"])):
        logits = np.asarray(jax.vmap(NET)(images), np.float64)
        own = logits[np.arange(N), LABELS]
        others = np.where(np.eye(CLASSES)[LABELS] == 1, -np.inf, logits).max(axis=1)
        margin, sure = arrays[f"margin{suffix}"], arrays[f"confidence{suffix}"]
        np.testing.assert_array_equal(
            arrays[f"predicted{suffix}"], logits.argmax(axis=1)
        )
        np.testing.assert_allclose(margin, others - own, atol=1e-5)
        np.testing.assert_allclose(sure, softmax(logits).max(axis=1), atol=1e-6)
        assert margin.dtype == sure.dtype == np.float32
    broken = arrays["winner"] != -1
    np.testing.assert_array_equal(arrays["margin_adv"] >= 0, broken)
    np.testing.assert_array_equal(arrays["margin"] < 0, arrays["clean"])


def test_the_record_says_what_was_asked_and_the_page_shows_it(tmp_path):
    folder = found().save(tmp_path, classes=["cat", "<dog>", "eel"])
    record = report.read(folder)
    assert record == report.read(folder / "record.json")
    flags = record["flags"]
    asked = {"seed": 5, "eps": 0.15, "norm": "linf", "tile": 8, "audit": False}
    assert flags.items() >= asked.items() and flags["points"] is None
    assert flags["plan"] == ["fgsm: fgsm(), restarts=1"] and flags["name"] == "affine"
    assert "called from Python" in record["command"]
    assert record["rows"] == records.plain(found().rows())
    assert record["series"]["evaluation"] == records.plain(found().to_json())
    assert record["series"]["classes"] == ["cat", "<dog>", "eel"]
    assert record["seconds"] == found().seconds > found().stages[0].seconds
    (figure,) = record["figures"]
    assert (figure["name"], figure["file"]) == ("examples", "figures/examples.png")
    assert (folder / figure["file"]).read_bytes().startswith(b"\x89PNG")
    page = (folder / "index.html").read_text()
    assert record["summary"] in page and "data:image/png" in page
    record.pop("figures")
    again = found().to_record()
    for key in ("title", "summary", "rows", "notes", "command", "flags", "seconds"):
        assert record[key] == records.plain(again)[key]


def test_saving_twice_gives_the_same_bytes(tmp_path):
    one, other = (found().save(tmp_path / name) for name in ("a", "b"))
    for name in ("adversarial.npz", "figures/examples.png"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def noisy(weights, x, key):
    return weights @ x.ravel() + jax.random.normal(key, (CLASSES,))


def test_of_a_random_net_the_majority_counts():
    random = judged(Partial(noisy, NET.args[0]), takes="example and key", samples=20)
    arrays = random.arrays()
    assert (random.winner >= 0).any() and (random.winner == -1).any()
    np.testing.assert_array_equal(arrays["margin_adv"] >= 0, random.winner != -1)
    np.testing.assert_array_equal(arrays["margin"] < 0, random.clean)
    np.testing.assert_allclose(arrays["margin_adv"], 1 - 2 * random.right_share)
    for suffix in ("", "_adv"):
        share = arrays[f"confidence{suffix}"]
        np.testing.assert_allclose(20 * share, np.round(20 * share), atol=1e-5)
        sure = share > 0.5
        wrong = arrays[f"predicted{suffix}"] != LABELS
        np.testing.assert_array_equal(wrong[sure], arrays[f"margin{suffix}"][sure] >= 0)


def in_first(images):
    return np.moveaxis(images, -1, 1)


def of_first(net, x):
    return net(jnp.moveaxis(x, 0, -1))


def test_channels_first_comes_back_channels_first_and_is_drawn(tmp_path):
    net = interop.channels_first(Partial(of_first, NET))
    theirs = judged(net, in_first(IMAGES))
    folder = theirs.save(tmp_path)
    with np.load(folder / "adversarial.npz") as kept:
        np.testing.assert_array_equal(kept["x"], in_first(IMAGES))
        np.testing.assert_array_equal(
            kept["margin_adv"], found().arrays()["margin_adv"]
        )
    assert (folder / "figures" / "examples.png").exists()


def test_what_is_no_image_is_saved_without_a_picture(tmp_path):
    flat = victims.affine_victim((16,), CLASSES)
    folder = judged(flat, IMAGES.reshape(N, 16)).save(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        "adversarial.npz", "index.html", "record.json",
    ]  # fmt: skip
    assert report.read(folder)["figures"] == []


def diverging(weights, x):
    """Not finite where something was added."""
    logits = weights @ x.ravel()
    return jnp.where(x.max() > 0.8, jnp.nan, logits)


def test_logits_that_are_not_finite_have_no_confidence():
    nan = judged(Partial(diverging, NET.args[0])).arrays()
    lost = np.isnan(nan["margin_adv"])
    assert lost.any() and (nan["winner"][lost] >= 0).all()
    assert np.isnan(nan["confidence_adv"][lost]).all()
    assert np.isfinite(nan["margin"]).all()


@pytest.mark.parametrize("classes", [["cat"], [], "cat", 3])
def test_names_of_other_classes_are_refused_and_nothing_is_written(tmp_path, classes):
    with pytest.raises((ValueError, TypeError), match="classes"):
        found().save(tmp_path / "out", classes)
    assert not (tmp_path / "out").exists()


def test_the_record_tells_what_is_proved_and_whether_stages_are_alone():
    told = judged(certified=np.arange(N) < 3, retire=False).to_json()
    assert told["certified"] == Proportion(2, N)  # The first is wrong anyway.
    assert told["retire"] is False
    told = found().to_json()
    assert told["certified"] is None and told["retire"] is True
