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
    black = (picture.max(axis=-1) < 0.05).sum(axis=1)
    half = int((0.55 + 0.68) * 150)  # The second row begins here.
    assert black[int(0.55 * 150) : half].sum() > 100 * black[half + 20 :].sum()


def test_a_heat_map_is_darker_for_more(tmp_path):
    path = tmp_path / "a.png"
    values = np.array([[0.0, 1.0], [np.nan, 0.5]])
    plots.heat_map(path, values, ["a", "b"], ["x", "y"], "Title")
    picture = pixels(path)
    row = int((0.95 + 0.06) * 150)  # Above the numbers.
    low, high = (picture[row, int((1.9 + 0.95 * j + 0.1) * 150)] for j in (0, 1))
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
