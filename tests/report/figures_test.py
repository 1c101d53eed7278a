import math
import os
import pathlib
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from robust_jax.report import figures

_ROOT = pathlib.Path(__file__).parents[2]
VERMILION = (0xD5, 0x5E, 0x00)
CURVE = {
    "eps": [0.0, 0.1, 0.2, 0.3],
    "accuracy": [0.9, 0.7, None, 0.1],
    "low": [0.85, 0.6, None, 0.05],
    "high": [0.95, 0.8, None, 0.15],
}
HISTORY = {
    "epoch": [1, 2, 3, 4],
    "loss": [2.0, 1.0, math.nan, 0.5],
    "validation_accuracy": [0.5, 0.6, 0.7, 0.8],
    "robust_validation_accuracy": [None, 0.2, None, "NaN"],
}


def examples(n=4, size=8, channels=1, eps=0.15):
    rng = np.random.default_rng(0)
    clean = rng.uniform(eps, 1 - eps, (n, size, size, channels)).astype(np.float32)
    adversarial = clean + np.float32(eps) * np.sign(rng.normal(size=clean.shape))
    return clean, adversarial.astype(np.float32)


def grid(path, clean, adversarial, wrong=0, **options):
    labels = np.arange(len(clean))
    predictions = np.where(labels < wrong, labels + 1, labels)
    figures.adversarial_grid(
        path, clean, adversarial, labels, labels, predictions, "Title", **options
    )


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def count(image, colour):
    """How many pixels have that colour, to within rounding."""
    return int((np.abs(image.astype(int) - colour).max(-1) <= 2).sum())


@pytest.mark.parametrize(("size", "channels", "n"), [(8, 1, 8), (32, 3, 12)])
def test_a_grid_is_a_small_png(tmp_path, size, channels, n):
    grid(tmp_path / "a.png", *examples(n, size, channels), wrong=2)
    assert pixels(tmp_path / "a.png").shape[1] > 1000
    assert os.path.getsize(tmp_path / "a.png") < 300_000
    assert os.listdir(tmp_path) == ["a.png"]


def test_each_wrong_prediction_is_framed_in_its_colour(tmp_path):
    found = []
    for wrong in (0, 1, 3):
        grid(tmp_path / "a.png", *examples(n=3), wrong=wrong)
        found.append(count(pixels(tmp_path / "a.png"), VERMILION))
    assert found[0] == 0
    assert found[1] > 1000  # A frame of about 4 x 165 x 4 pixels.
    assert found[2] > 2.5 * found[1]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are written."""
    found, save = [], Figure.savefig

    def noted(figure, *given, **options):
        found.append(figure)
        save(figure, *given, **options)

    monkeypatch.setattr(Figure, "savefig", noted)
    return found


def test_confidences_stand_beside_the_predictions(tmp_path, drawn):
    confidences = ([0.99, 0.4], [0.51, 0.07])
    grid(tmp_path / "a.png", *examples(2), wrong=1, confidences=confidences)
    texts = [text.get_text() for text in drawn[0].findobj(Text)]
    shown = [text for text in texts if text.endswith("%")]
    assert sorted(shown) == sorted(["0 ✓ 99%", "1 ✓ 40%", "1 ✗ 51%", "1 ✓ 7%"])
    with pytest.raises(ValueError, match=r"confidences of \[2, 1\] images; expected 2"):
        grid(tmp_path / "b.png", *examples(2), confidences=([1, 1], [1]))
    assert not (tmp_path / "b.png").exists()


def test_long_names_stay_beside_each_other(tmp_path, drawn):
    names = ["a_class_of_many_letters_and_no_space_at_all"] * 10
    clean, adversarial = examples(10)
    figures.adversarial_grid(
        tmp_path / "a.png", clean, adversarial, names, names, names, "Title"
    )
    first, second = drawn[0].axes[:2]
    pitch = second.get_window_extent().x0 - first.get_window_extent().x0
    for text in (first.title, first.xaxis.label):
        assert text.get_text().replace("\n", "").startswith(("true", "a_class"))
        assert text.get_window_extent().width < pitch


def test_the_difference_fills_the_range_about_grey(tmp_path):
    clean = np.full((1, 2, 2, 3), 0.5)
    change = np.array([[0.1, -0.1], [0.0, 0.05]])[None, :, :, None] * [0, 1, 0]
    grid(tmp_path / "a.png", clean, clean + change)
    found = pixels(tmp_path / "a.png")
    for green in (255, 0, 191):  # 0.5 + 5 * 0.1, 0.5 - 5 * 0.1, 0.5 + 5 * 0.05
        assert count(found, (127, green, 127)) > 1000, green
    grid(tmp_path / "a.png", clean, clean + change, magnify=2)
    assert count(pixels(tmp_path / "a.png"), (127, 178, 127)) > 1000  # 0.5 + 2 * 0.1


@pytest.mark.parametrize(
    ("largest", "factor"),
    [
        (0.0, 1.0), (1.0, 0.5), (0.5, 1.0), (0.3, 1.5), (0.15, 3.0), (0.1, 5.0),
        (8 / 255, 15.0), (4 / 255, 30.0), (1e-3, 500.0),
    ],
)  # fmt: skip
def test_magnification_is_the_largest_round_factor(largest, factor):
    difference = np.array([largest / 3, -largest], np.float32)
    assert figures.magnification(difference) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: {**a, "clean": a["clean"][0]}, r"clean\.shape=.*; expected"),
        (lambda a: {**a, "clean": a["clean"][:0]}, r"clean\.shape=.*; expected"),
        (
            lambda a: {**a, "adversarial": a["adversarial"][:2]},
            r"adversarial\.shape=\(2, 8, 8, 1\); expected \(4, 8, 8, 1\)",
        ),
        (
            lambda a: {**a, "clean": np.repeat(a["clean"], 2, -1)},
            r"clean\.shape=.*C 1 or 3",
        ),
        (lambda a: {**a, "labels": [1, 2]}, r"len\(labels\)=2; expected 4"),
        (
            lambda a: {**a, "adversarial_predictions": [1]},
            r"len\(adversarial_predictions\)=1; expected 4",
        ),
        (lambda a: {**a, "clean": 255 * a["clean"]}, "divide images of 0-255"),
        (lambda a: {**a, "clean": a["clean"] - 0.5}, "clean holds values from -0"),
        (lambda a: {**a, "adversarial": a["adversarial"] * np.nan}, "adversarial hol"),
        (lambda a: {**a, "magnify": 0}, "magnify=0; expected"),
        (lambda a: {**a, "magnify": 10**400}, "magnify=1000.*; expected a finite"),
    ],
)
def test_a_wrong_grid_gets_one_sentence_and_no_file(tmp_path, change, sentence):
    clean, adversarial = examples()
    labels = np.arange(4)
    arguments = change(
        {
            "clean": clean,
            "adversarial": adversarial,
            "labels": labels,
            "clean_predictions": labels,
            "adversarial_predictions": labels,
        }
    )
    with pytest.raises(ValueError, match=sentence) as error:
        figures.adversarial_grid(tmp_path / "a.png", **arguments, title="t")
    assert "\n" not in str(error.value)
    assert os.listdir(tmp_path) == []


def curves(path, series):
    figures.robustness_curves(path, series, "Title of $_^$", "eps in $_^$")


def training(path, series):
    figures.training_curves(path, series, "Title of $_^$")


def test_a_band_is_drawn_if_there_are_intervals(tmp_path):
    bare = {key: CURVE[key] for key in ("eps", "accuracy")}
    found = []
    for series in (bare, CURVE):
        curves(tmp_path / "a.png", {"net": series})
        found.append(count(pixels(tmp_path / "a.png"), (209, 230, 242)))  # 18 % blue
    assert found[1] > found[0] + 1000


def test_each_curve_has_its_colour(tmp_path):
    curves(tmp_path / "a.png", {"plain": CURVE, "robust": CURVE})
    assert count(pixels(tmp_path / "a.png"), VERMILION) > 100
    curves(tmp_path / "a.png", {"plain": CURVE})
    assert count(pixels(tmp_path / "a.png"), VERMILION) == 0


def test_missing_points_are_bridged_and_nan_breaks_a_line(tmp_path):
    def blue(loss):
        training(tmp_path / "a.png", {"net": {"epoch": [1, 2, 3, 4, 5], "loss": loss}})
        return count(pixels(tmp_path / "a.png"), (0x00, 0x72, 0xB2))

    whole = blue([1.0, 1.0, 1.0, 1.0, 1.0])
    bridged = blue([1.0, 1.0, None, 1.0, 1.0])
    broken = [blue([1.0, 1.0, x, 1.0, 1.0]) for x in (math.inf, "NaN")]
    assert 0 < whole - bridged < 100  # One marker less.
    assert all(bridged - x > 300 for x in broken)  # A piece of line less too.


@pytest.mark.parametrize("draw", [curves, training])
def test_many_names_and_long_series_stay_small(tmp_path, draw):
    x = list(np.linspace(0, 1, 200))
    series = {f"net $_^$ {i}": {"eps": x, "epoch": x, "accuracy": x} for i in range(9)}
    draw(tmp_path / "a.png", series)
    assert os.path.getsize(tmp_path / "a.png") < 300_000


def test_a_diverged_or_empty_history_still_gives_a_figure(tmp_path):
    nan = math.nan
    for history in ({"epoch": [1], "loss": [nan]}, {"epoch": [], "loss": []}, HISTORY):
        training(tmp_path / "a.png", {"net": history})
        assert pixels(tmp_path / "a.png").std() > 0


@pytest.mark.parametrize(
    ("draw", "series", "sentence"),
    [
        (curves, {}, r"curves=\{\}; expected at least one"),
        (curves, {"net": {"eps": [0]}}, r"curves\['net'\] has no 'accuracy'"),
        (
            curves,
            {"net": {**CURVE, "low": [0.1]}},
            r"len\(curves\['net'\]\['low'\]\)=1; expected 4",
        ),
        (training, {}, r"histories=\{\}; expected at least one"),
        (training, {"net": {"loss": [1]}}, r"histories\['net'\] has no 'epoch'"),
        (training, {"net": {**HISTORY, "loss": [1]}}, r"\['loss'\]\)=1; expected 4"),
    ],
)
def test_wrong_series_get_one_sentence_and_no_file(tmp_path, draw, series, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw(tmp_path / "a.png", series)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("draw", [curves, training])
def test_a_legend_lies_beside_the_lines_and_on_the_page(tmp_path, draw, drawn):
    names = [f"a net whose name is rather long {i}" for i in range(9)]
    draw(tmp_path / "a.png", dict.fromkeys(names, CURVE | HISTORY))
    axes = drawn[0].axes[-1]
    legend = axes.get_legend()
    assert {*names} <= {text.get_text() for text in legend.get_texts()}
    place, lines = legend.get_window_extent(), axes.get_window_extent()
    assert place.x0 > lines.x1
    assert pixels(tmp_path / "a.png").shape[1] > place.x1 - drawn[0].bbox.x0


def test_a_figure_heeds_no_settings_of_matplotlib_and_leaves_them(tmp_path):
    curves(tmp_path / "a.png", {"net": CURVE})
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        curves(tmp_path / "b.png", {"net": CURVE})
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_equal_data_give_equal_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        curves(tmp_path / name, {"net": CURVE})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_matplotlib_comes_with_the_first_figure_and_without_pyplot(tmp_path):
    code = """
import sys
import robust_jax.report as report
assert "matplotlib" not in sys.modules
curve = {"eps": [0, 1], "accuracy": [1, 0]}
report.figures.robustness_curves(sys.argv[1], {"a": curve}, "t", "x")
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.png")],
        capture_output=True, text=True, cwd=_ROOT,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
