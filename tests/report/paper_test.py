"""Figures for papers: what is drawn is the records', in the size of the column."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from robust_jax import report
from robust_jax.core import records
from robust_jax.core.metrics import Proportion

EPS = [0.0, 0.1, 0.2]
EVIL = r"$x^2_{ a_b % & \n"


def record(flags=None, rows=(), **series):
    return records.Record(
        schema=2, experiment="attack", title="t", summary="s", command="c",
        flags={"norm": "linf", "out": "o", **(flags or {})}, environment={},
        rows=list(rows), series=series, notes=[], figures=[], seconds=1.0,
    )  # fmt: skip


def curve(*kept):
    points = [Proportion(k, 100) for k in kept]
    return {
        "eps": EPS,
        "accuracy": [p.value for p in points],
        "low": [p.interval[0] for p in points],
        "high": [p.interval[1] for p in points],
    }


def of_curve(kept, model="net", seed=0, **flags):
    models = [{"name": model}]
    return record({"seed": seed, **flags}, curve=curve(*kept), models=models)


def of_stages(model, seed, *kept):
    names = ["none", "fgsm", "worst case"]
    shares = [Proportion(k, 100) for k in kept]
    rows = [
        {"model": model, "threat": "t", "attack": name, "accuracy": share}
        for name, share in zip(names, shares, strict=True)
    ]
    rows.append({"model": model, "threat": "t", "attack": "audit", "accuracy": None})
    return record({"seed": seed}, rows)


def of_training(seed, loss):
    history = {
        "epoch": [1, 2, 3],
        "loss": loss,
        "validation_accuracy": [0.5, None, 0.7],
    }
    return record({"seed": seed, "recipe": "pgd"}, history=history)


DISTANCES = record(distances={"fmn": [0.0, 1.0, "Infinity", 2.0], "ddn": [1.0] * 4})
RUNS = {
    "curve": [of_curve([90, 50, 10]), of_curve([80, 70, 60], EVIL)],
    "stages": [of_stages("plain", 0, 95, 20, 10), of_stages(EVIL, 0, 90, 80, 70)],
    "distances": DISTANCES,
    "training": of_training(0, [3.0, 2.0, "NaN"]),
}


def lines(figure, axes=0):
    """What has a name in the legend, or the only line: x and y."""
    drawn = {line.get_label(): line.get_xydata() for line in figure.axes[axes].lines}
    return {name: data for name, data in drawn.items() if len(data)}


def legend(figure):
    found = figure.legends[0].get_texts() if figure.legends else []
    return [text.get_text() for text in found]


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf", ".pgf"])
def test_a_figure_is_written_by_its_ending_the_same_each_time(tmp_path, kind, ending):
    one, other = (tmp_path / f"{name}{ending}" for name in "ab")
    made = report.figure(kind, RUNS[kind], style="icml", path=one)
    report.figure(kind, RUNS[kind], style="icml", path=other)
    assert isinstance(made, Figure) and made.get_figwidth() == 3.25
    assert one.read_bytes() == other.read_bytes()
    assert made._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("style", "width", "family"),
    [
        ("default", 6.0, "DejaVu Sans"),
        ("neurips", 5.5, "STIXGeneral"),
        ("icml", 3.25, "STIXGeneral"),
        ("iclr", 5.5, "STIXGeneral"),
    ],
)
def test_the_page_has_the_size_and_letters_of_a_column(tmp_path, style, width, family):
    path = tmp_path / "a.pdf"
    made = report.figure("curve", RUNS["curve"], style=style, path=path)
    assert made.axes[0].xaxis.label.get_fontfamily() == [family]
    content = path.read_bytes()
    box = content.partition(b"/MediaBox [ 0 0 ")[2].split()[:2]
    assert float(box[0]) == pytest.approx(72 * width)
    assert b"/Type3" not in content
    wide = report.figure("curve", RUNS["curve"], style=style, width=2.5, height=2.0)
    assert wide.get_size_inches().tolist() == [2.5, 2.0]
    assert made.axes[0].get_xlabel() == "L∞ radius"


def test_a_curve_is_the_records_numbers_with_its_band():
    made = report.figure("curve", RUNS["curve"])
    assert legend(made) == ["net", EVIL]
    drawn = lines(made)
    np.testing.assert_array_equal(drawn["net"], [[0, 0.9], [0.1, 0.5], [0.2, 0.1]])
    (band, _) = made.axes[0].collections
    edges = band.get_paths()[0].vertices[:, 1]
    kept = curve(90, 50, 10)
    assert {*kept["low"], *kept["high"]} <= set(edges)


def test_seeds_are_one_line_whose_band_holds_all_intervals():
    runs = [of_curve([90, 50, 10]), of_curve([70, 60, 20], seed=1)]
    made = report.figure("curve", [*runs, of_curve([1, 1, 1], "other", 0)])
    assert legend(made) == ["net", "other"]
    np.testing.assert_allclose(lines(made)["net"][:, 1], [0.8, 0.55, 0.15])
    edges = made.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert edges.min() == Proportion(10, 100).interval[0]
    assert edges.max() == Proportion(90, 100).interval[1]
    other = of_curve([1, 1, 1])
    other["series"]["curve"]["eps"] = [0.0, 0.1, 0.3]
    with pytest.raises(ValueError, match="other values of eps .*; expected the same"):
        report.figure("curve", [runs[0], other])


def test_other_flags_and_names_tell_lines_apart():
    runs = [of_curve([9, 5, 1], attack="pgd"), of_curve([8, 5, 1], attack="fgsm")]
    assert legend(report.figure("curve", runs)) == ["attack=pgd", "attack=fgsm"]
    made = report.figure("curve", runs, names=["ours", "theirs"])
    assert legend(made) == ["ours", "theirs"]
    made = report.figure("curve", runs, names=["ours", "ours"])
    assert [*lines(made)] == ["ours"] and made.legends == []
    with pytest.raises(ValueError, match="names of 1 runs; expected one for each"):
        report.figure("curve", runs, names=["ours"])


def test_distances_are_counted():
    drawn = lines(report.figure("distances", DISTANCES))
    x, y = drawn["fmn"].T
    assert x[-1] == 2.0 and y[0] == 0.25 and y[-1] == 0.75  # One was not found.
    assert y[np.searchsorted(x, 1.0)] == 0.5 and y[np.searchsorted(x, 1.0) - 1] == 0.25
    left = lines(report.figure("curve", DISTANCES))["fmn"][:, 1]
    np.testing.assert_allclose(left, 1 - y)


def test_stages_are_points_with_intervals_in_the_order_of_the_plan():
    runs = [of_stages("net", 0, 95, 20, 10), of_stages("net", 1, 95, 30, 20)]
    made = report.figure("stages", runs)
    texts = [text.get_text() for text in made.axes[0].get_xticklabels()]
    assert texts == ["clean", "fgsm", "worst case"]
    (bars,) = made.axes[0].containers
    np.testing.assert_allclose(bars.lines[0].get_ydata(), [0.95, 0.25, 0.15])
    ends = np.array([part[:, 1] for part in bars.lines[2][0].get_segments()])
    assert ends[1].tolist() == pytest.approx(
        [Proportion(20, 100).interval[0], Proportion(30, 100).interval[1]]
    )


def test_training_is_the_mean_of_its_seeds():
    runs = [of_training(0, [3.0, 2.0, 1.0]), of_training(1, [1.0, 1.0, math.nan])]
    made = report.figure("training", runs)
    loss = made.axes[0].lines[0].get_ydata()
    np.testing.assert_array_equal(loss, [2.0, 1.5, math.nan])
    shown = [line.get_xydata() for line in made.axes[1].lines if len(line.get_xdata())]
    np.testing.assert_array_equal(shown[0], [[1, 0.5], [3, 0.7]])


def write_arrays(folder, **changes):
    rng = np.random.default_rng(0)
    x = rng.uniform(0.2, 0.8, (4, 5, 5, 1)).astype(np.float32)
    arrays = {"x": x, "x_adv": x + 0.1, "winner": np.array([-1, 0, -2, 0])}
    arrays |= {"predicted": np.arange(4), "predicted_adv": np.array([0, 2, 2, 1])}
    records.write_json(folder / "record.json", record(classes=["a", "b", EVIL, "d"]))
    kept = {k: v for k, v in {**arrays, **changes}.items() if v is not None}
    np.savez(folder / "adversarial.npz", **kept)
    return folder


def test_examples_are_those_that_broke_with_the_names_of_their_classes(tmp_path):
    made = report.figure("examples", write_arrays(tmp_path), path=tmp_path / "a.pdf")
    with np.load(tmp_path / "adversarial.npz") as arrays:
        clean, found = arrays["x"][[1, 3]], arrays["x_adv"][[1, 3]]
    shown = [axes.images[0].get_array()[..., 0] for axes in made.axes]
    np.testing.assert_allclose(shown[:2], clean[..., 0])
    np.testing.assert_allclose(shown[2:4], found[..., 0])
    np.testing.assert_allclose(shown[4], 1.0, atol=1e-5)  # 0.5 + 5 times 0.1
    said = [axes.get_xlabel() for axes in made.axes[:4]]
    assert said == ["b", "d", EVIL, "b"]


@pytest.mark.parametrize("classes", [["a", "b"], "abcd", 7, None])
def test_answers_beyond_the_names_are_numbers(tmp_path, classes):
    folder = write_arrays(tmp_path)
    given = {} if classes is None else {"classes": classes}
    records.write_json(folder / "record.json", record(**given))
    made = report.figure("examples", folder)
    said = [axes.get_xlabel() for axes in made.axes[:4]]
    assert said == ["1", "3", "2", "1"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"winner": np.array([-1, 0])}, "are not of the same examples"),
        ({"predicted": None}, "its arrays lack predicted, which an older version left"),
        ({"winner": np.full(4, -1)}, "no example broke"),
        ({"x": np.zeros((4, 25))}, "are no images"),
        ({"x_adv": np.full((4, 5, 5, 1), 2.0)}, "its pixels are from 2 to 2"),
        ({"x": np.array([{}] * 4)}, "cannot be read"),
    ],
)
def test_examples_without_images_are_refused(tmp_path, changes, words):
    folder = write_arrays(tmp_path, **changes)
    with pytest.raises(ValueError, match=words):
        report.figure("examples", folder)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("curv", RUNS["curve"]), {}, "unknown kind 'curv'; did you mean 'curve'"),
        (("curve", RUNS["curve"]), {"style": "nips"}, "unknown style 'nips'"),
        (("curve", RUNS["curve"]), {"path": "a.jpg"}, "path=a.jpg; expected a name"),
        (("curve", RUNS["curve"]), {"width": 0}, "width=0; expected"),
        (("curve", RUNS["stages"]), {}, "the runs have no curve of accuracies"),
        (("stages", DISTANCES), {}, "the runs have no accuracies of stages"),
        (("distances", RUNS["curve"]), {}, "the runs have no distances"),
        (("training", DISTANCES), {}, "the runs have no history of a training"),
        (("examples", DISTANCES), {}, "a record by itself has no images"),
        (("examples", [DISTANCES] * 2), {}, "runs: 2; expected one"),
        (("curve", []), {}, "runs=[]; expected a record"),
        (("curve", "nowhere"), {}, "path=nowhere; expected a JSON file"),
    ],
)
def test_bad_arguments_get_one_sentence(arguments, options, words):
    with pytest.raises(ValueError) as error:
        report.figure(*arguments, **options)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_results_draw_themselves():
    from robust_jax.evaluate import Curve, Distances
    from robust_jax.evaluate.claims import NO_CLAIMS

    broken = np.array([[False, False], [True, False]])
    found = Curve("linf", np.array([0.0, 0.1]), broken, 6, 2, "fgsm", 3)
    drawn = lines(report.figure("curve", found))
    np.testing.assert_array_equal(drawn["fgsm"], [[0, 1], [0.1, 0.5]])
    one = np.array([0.5, 1.0])
    near = Distances("ddn", "l2", one, one > 0, 1.0, 1.0, 0.1, one, NO_CLAIMS, 3)
    assert [*lines(report.figure("distances", near))] == ["ddn"]
    for result in (found, near):
        kept = records.plain(result.to_record())
        assert {*kept} == records.Record.__required_keys__
        assert kept["flags"]["seed"] == 3
    (row, _) = report.results_table(found, ["accuracy"]).flat()
    assert (row["attack"], row["eps"], row["accuracy"]) == ("fgsm", 0.0, 1.0)
