import xml.etree.ElementTree

from robust_jax.report.site import charts
from tests import made_runs


def curve(**changes):
    return {"eps": [0.0, 0.1], "accuracy": [0.9, 0.5], **changes}


def texts(chart):
    root = xml.etree.ElementTree.fromstring(chart.svg)
    return [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]


def test_names_stand_in_the_legend_whatever_they_are():
    """Vega's converter ends the process at a control character."""
    names = ["a\x00b\x1f", "</noscript><script>", "=1", "x" * 400]
    record = made_runs.record(series={"curves": dict.fromkeys(names, curve())})
    [chart] = charts.of_record(record)
    shown = texts(chart)
    assert (
        "a\ufffdb\ufffd" in shown and "</noscript><script>" in shown and "=1" in shown
    )
    assert "<script" not in chart.svg and max(map(len, shown)) < 100


def test_lines_differ_by_more_than_their_colours():
    named = {f"net {i}": curve() for i in range(13)}
    [chart] = charts.of_record(made_runs.record(series={"curves": named}))
    scales = {
        key: chart.spec["layer"][-1]["encoding"][key]["scale"]["range"]
        for key in ("color", "shape", "strokeDash")
    }
    looks = {
        (colour, tuple(dash))
        for colour, dash in zip(scales["color"], scales["strokeDash"], strict=True)
    }
    assert len(looks) == len(named)
    assert len(set(scales["shape"])) == len(set(scales["color"])) == 6


def test_an_interval_is_told_where_every_point_has_one():
    bands = {"low": [0.8, 0.4], "high": [1.0, 0.6]}

    def told(**series):
        [chart] = charts.of_record(made_runs.record(series=series))
        return [tip["field"] for tip in chart.spec["layer"][-1]["encoding"]["tooltip"]]

    assert told(curve=curve(**bands)) == ["eps", "accuracy", "low", "high"]
    mixed = {"a": curve(**bands), "b": curve()}
    assert told(curves=mixed) == ["name", "eps", "accuracy"]
