"""Records read back: what is checked, and what older versions wrote."""

import json
import math

import numpy as np
import pytest

from robust_jax import report
from robust_jax.core import records
from robust_jax.core.metrics import Median, Proportion

FIGURE = {"name": "a", "title": "A", "caption": "c", "file": "figures/a.png"}
RECORD = {
    "schema": 2,
    "experiment": "attack",
    "title": "Title",
    "summary": "Summary.",
    "command": "robust-jax attack",
    "flags": {"eps": 0.1, "seed": None},
    "environment": {"jax": "0.0"},
    "rows": [{"accuracy": Proportion(457, 500), "median": Median(0.1, 0.0, math.inf)}],
    "series": {"curve": {"eps": np.array([0.1, 1 / 3])}},
    "notes": ["A note."],
    "figures": [FIGURE],
    "seconds": 0.1 + 0.2,
}


def written(folder, **changes):
    """A record with other values, or without a key where the value is `...`."""
    record = {k: v for k, v in {**RECORD, **changes}.items() if v is not ...}
    records.write_json(folder / "record.json", record)
    return folder


def test_a_record_is_read_as_it_was_written_by_its_file_and_its_folder(tmp_path):
    folder = written(tmp_path)
    assert report.read(folder) == records.plain(RECORD)
    assert report.read(str(folder / "record.json")) == report.read(folder)
    records.write_json(tmp_path / "record.json", report.read(folder))
    assert report.read(folder) == records.plain(RECORD)
    assert {*RECORD} == records.Record.__required_keys__


def test_a_record_of_schema_1_is_filled_in(tmp_path):
    given = {"schema": 1, "title": ..., "summary": ..., "figures": ...}
    folder = written(tmp_path, **given)
    (folder / "figures").mkdir()
    for name in ("b.png", "a.png", "a.txt"):
        (folder / "figures" / name).touch()
    found = report.read(folder)
    figures = [
        {"name": n, "title": n, "caption": "", "file": f"figures/{n}.png"} for n in "ab"
    ]
    filled = {"title": "attack", "summary": "", "figures": figures}
    assert found == {**records.plain(RECORD), **filled}


@pytest.mark.parametrize("key", [key for key in RECORD if key != "schema"])
def test_a_key_that_is_missing_or_of_another_type_is_named(tmp_path, key):
    for value in (..., True, None):
        file = written(tmp_path, **{key: value}) / "record.json"
        with pytest.raises(ValueError, match=key) as error:
            report.read(tmp_path)
        assert str(error.value).startswith(f"path={file}: ")
        assert "expected" in str(error.value) and "write the record again" in str(
            error.value
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": ...}, "has no key 'schema'; expected a whole number from 1 to 2"),
        ({"schema": 3}, "a newer version wrote it; update robust_jax"),
        ({"schema": True}, "schema=True; expected a whole number from 1 to 2"),
        ({"schema": "2"}, "schema='2'; expected"),
        ({"schema": 0}, "schema=0; expected"),
        ({"rows": [{}, 1]}, "rows[1]=1; expected a list of objects"),
        ({"notes": ["a", None]}, "notes[1]=None; expected a list of texts"),
        ({"figures": [{**FIGURE, "title": 1}]}, "figures[0].title=1; expected a text"),
        ({"figures": [{"name": "a"}]}, "=None; expected a text"),
        (
            {"figures": [{**FIGURE, "file": "../a.png"}]},
            "figures[0].file='../a.png'; expected a file inside the record's folder",
        ),
        ({"figures": [{**FIGURE, "file": "/a.png"}]}, "inside the record's folder"),
        ({"figures": [{**FIGURE, "file": "..\\a.png"}]}, "inside the record's folder"),
    ],
)
def test_what_is_no_record_is_refused_in_a_sentence(tmp_path, changes, words):
    written(tmp_path, **changes)
    with pytest.raises(ValueError) as error:
        report.read(tmp_path)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "old",
    [
        {"model": "m", "threat": "t", "rows": [], "claims": {}, "environment": {}},
        {"reports": {}, "environment": {}},
    ],
)
def test_what_reports_wrote_before_is_said_to_be_written_anew(tmp_path, old):
    records.write_json(tmp_path / "record.json", old)
    with pytest.raises(ValueError, match=r"before version 0\.2.*evaluate again.*save"):
        report.read(tmp_path)


@pytest.mark.parametrize("content", ["[1]", "{", '"text"', None])
def test_a_file_of_something_else_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "record.json").write_text(content)
    with pytest.raises(ValueError, match=r"path=.*; expected"):
        report.read(tmp_path)
    with pytest.raises(ValueError, match=r"path=.*; expected"):
        report.read(tmp_path / "record.json")


@pytest.mark.parametrize("path", ["", None, 3, b"out"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ValueError, match=r"path=.*; expected the name of a record"):
        report.read(path)


def test_a_run_is_written_with_the_names_of_its_figures(tmp_path):
    (tmp_path / "figures").mkdir()
    path = tmp_path / "figures" / "curve.png"
    curve = {"eps": [0, 1], "accuracy": [1, 0]}
    report.figures.robustness_curves(path, {"a": curve}, "t", "x")
    rows = [{"layer": 1}]
    parts = [
        report.PageTable("T", "", rows),
        report.PageFigure("Title", "Caption", path),
    ]
    report.write_run(tmp_path, RECORD, parts)
    file = {"name": "curve", "file": "figures/curve.png"}
    figure = {**file, "title": "Title", "caption": "Caption"}
    assert report.read(tmp_path)["figures"] == [figure]
    text = (tmp_path / "index.html").read_text()
    assert "<h1>Title</h1>" in text and "data:image/png" in text
    assert json.loads((tmp_path / "record.json").read_text())["schema"] == 2
