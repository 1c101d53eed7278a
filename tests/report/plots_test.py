"""Figures of studies: what is drawn where, and what is refused."""

import matplotlib.image
import numpy as np
import pytest

from robust_jax.report import plots


def pixels(path):
    return matplotlib.image.imread(path)[..., :3]


def test_rows_of_images_are_where_they_belong(tmp_path):
    bright, dark = np.ones((3, 4, 4, 1)), np.zeros((2, 4, 4, 1))
    path = tmp_path / "a.png"
    plots.image_rows(path, [("dark", dark), ("bright", bright)], "Title")
    picture = pixels(path)
    assert picture.shape[1] > 3 * 60
    black = (picture[:, -320:].max(axis=-1) < 0.05).sum(axis=1)  # Beside the names.
    first, second = black[-210:-130], black[-110:-30]  # Of 0.68 inches each.
    assert first.min() > 150 and second.max() == 0


ROW = [("a", np.zeros((2, 4, 4, 1)))]


def test_names_and_texts_are_written(tmp_path):
    sizes = []
    for i, more in enumerate(({}, {"columns": ["x", "y"]}, {"texts": [["1", "2"]]})):
        plots.image_rows(tmp_path / f"{i}.png", ROW, "Title", **more)
        sizes.append(pixels(tmp_path / f"{i}.png"))
    plain, named, written = sizes
    assert named.shape[0] > plain.shape[0] == written.shape[0]
    assert written.max(-1).sum() > plain.max(-1).sum() + 20  # White on black.


def test_colours_of_numbers():
    shades = plots.shaded(np.array([[0.0, 1.0, 2.0]]))
    assert shades.shape == (1, 3, 3)
    assert shades[0, 0].sum() < shades[0, 1].sum() == shades[0, 2].sum()
    blue, white, red = plots.signed(np.array([[-2.0, 0.0, 2.0]]))[0]
    assert blue[2] > blue[0] and red[0] > red[2] and white.min() > 0.9
    assert plots.signed(np.zeros((1, 1))).min() > 0.9


def test_a_heat_map_is_darker_for_more(tmp_path):
    path = tmp_path / "a.png"
    values = np.array([[0.0, 1.0, 0.2], [np.nan, 0.5, 0.2]])
    plots.heat_map(path, values, ["a", "b"], ["x", "y", "z"], "Title")
    picture = pixels(path)
    margin, cell, height = int(0.12 * 150), int(0.95 * 150), int(0.34 * 150)
    row = -margin - 2 * height + 10  # Above the numbers.
    low, high = (picture[row, -margin - n * cell + 10] for n in (3, 2))
    assert low.sum() > high.sum() + 0.5


def test_histograms_curves_points_and_pairs(tmp_path):
    samples = {"a": np.array([0.0, 1.0, np.inf]), "b": np.array([0.5, np.nan])}
    plots.histograms(tmp_path / "a.png", samples, "Title", "x")
    lines = {"a": ([0, 1], [1, 0]), "b": ([0, 1], [0.5, 0.5])}
    plots.curves(tmp_path / "b.png", lines, "Title", "x", "y")
    plots.points(tmp_path / "c.png", {"a": ([1, 2], [np.nan, 1])}, "Title", "x", "y")
    ends = np.array([[0.0, 1.0]])
    plots.pairs(tmp_path / "d.png", 0 * ends, ends, [("a", "$b")], "Title")
    for name in ("a.png", "b.png", "c.png", "d.png"):
        assert np.ptp(pixels(tmp_path / name)) > 0.5


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda p: plots.image_rows(p, [], "t"), "at least one row"),
        (lambda p: plots.image_rows(p, [("a", np.ones((2, 4, 4)))], "t"), "N, H, W, C"),
        (lambda p: plots.image_rows(p, ROW, "t", texts=[["a"]]), "texts: [1] for [2]"),
        (lambda p: plots.heat_map(p, np.ones((1, 2)), ["a"], ["b"], "t"), "(1, 1)"),
        (lambda p: plots.histograms(p, {}, "t", "x"), "expected at least one"),
        (lambda p: plots.histograms(p, {"a": [np.nan]}, "t", "x"), "a finite number"),
        (lambda p: plots.curves(p, {}, "t", "x", "y"), "at least one"),
        (lambda p: plots.curves(p, {"a": ([1], [])}, "t", "x", "y"), "1 x for 0 y"),
        (lambda p: plots.points(p, {}, "t", "x", "y"), "at least one"),
        (lambda p: plots.pairs(p, [], [], [], "t"), "expected [N, 2] twice"),
        (lambda p: plots.points(p, {"a": ([1], [])}, "t", "x", "y"), "1 x for 0 y"),
    ],
)
def test_bad_arguments_write_nothing(tmp_path, draw, words):
    with pytest.raises(ValueError, match="(?s)") as error:
        draw(tmp_path / "a.png")
    assert words in str(error.value)
    assert not list(tmp_path.iterdir())
