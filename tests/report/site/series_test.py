from robust_jax.report.site import series


def curve(**changes):
    return {"eps": [0.0, 0.1], "accuracy": [1.0, 0.5], **changes}


def test_a_curve_by_itself_and_curves_by_name():
    bands = {"low": [0.9, 0.4], "high": [1.0, 0.6]}
    kept = {"curve": curve(**bands), "curves_l2": {"a": curve(), "b": curve(), "c": 3}}
    (one, points), (several, named) = series.curves(kept)
    assert (one, several) == ("curve", "curves_l2")
    last = {"name": "", "eps": 0.1, "accuracy": 0.5, "low": 0.4, "high": 0.6}
    assert points[1] == last
    assert [point["name"] for point in named] == ["a", "a", "b", "b"]
    assert "low" not in named[0]


def test_points_that_are_no_numbers_are_left_out():
    accuracy = ["NaN", None, 0.5, "Infinity", True, 0.25]
    kept = {"curve": {"eps": [0, 1, 2, 3, 4, 5], "accuracy": accuracy}}
    [(_, points)] = series.curves(kept)
    assert [point["eps"] for point in points] == [2, 5]


def test_long_lines_are_thinned_and_keep_their_ends():
    n = 1001
    kept = {"c": {"eps": list(range(n)), "accuracy": [0.5] * n}}
    [(_, points)] = series.curves(kept)
    assert len(points) <= 101
    assert (points[0]["eps"], points[-1]["eps"]) == (0, n - 1)


def test_training():
    history = {"epoch": [1, 2], "loss": [2.0, 1.0], "validation_accuracy": [None, 0.5]}
    [(_, losses)] = series.losses({"history": history})
    assert [point["loss"] for point in losses] == [2.0, 1.0]
    [(_, points)] = series.accuracies({"training": {"net": history}})
    assert points == [{"name": "net, validation", "epoch": 2, "accuracy": 0.5}]


def test_distances_share_their_bins_and_count_what_was_not_found():
    kept = {"distances": {"a": [0.0, 0.3, 0.6, "Infinity"], "b": [0.6, 0.6]}}
    found = series.distances(kept)
    assert found.lost == {"a": 1, "b": 0}
    by_name = {
        name: [p["images"] for p in found.points if p["name"] == name] for name in "ab"
    }
    assert sum(by_name["a"]) == 2 and sum(by_name["b"]) == by_name["b"][-1] == 2
    assert found.points[-1]["high"] == 0.6


def test_what_is_no_curve_gives_none():
    kept = {"distances": {"a": [0.0]}, "x": 3, "y": [1], "z": {"eps": 1}}
    assert series.distances(kept) is None and series.distances({}) is None
    assert list(series.curves(kept)) == [] and list(series.queries(kept)) == []
