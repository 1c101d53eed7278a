"""The page of a run on its way: how far, what is left, and when it is over."""

import json

import pytest

from robust_jax.core.metrics import Proportion
from robust_jax.report.site import live


def point(seconds: float, share: float, left: int) -> live.Point:
    robust = Proportion(left, 200)
    return live.Point(seconds, share, "apgd-<ce>", robust.value, *robust.interval)


def test_an_evaluation_says_how_far_it_is(tmp_path):
    run, out = tmp_path / "run", tmp_path / "site"
    run.mkdir(), out.mkdir()
    points = [point(0.0, 0.0, 190), point(90.0, 0.25, 120)]
    live.write_progress(run / live.PROGRESS, "evaluate <b>", points)
    (run / "record.json").write_text("{}")  # Of the run before it.
    assert live.write(run, out, 5.0)
    page = (out / "index.html").read_text()
    assert '<meta http-equiv="refresh" content="5">' in page
    assert "apgd-&lt;ce&gt;, 25 % done after 1 min 30 s; about 4 min 30 s to go" in page
    assert "robust accuracy at most 60.0\N{NO-BREAK SPACE}% so far" in page
    assert "evaluate &lt;b&gt;" in page and "<b>" not in page
    assert 'value="0.2500"' in page and "Robust accuracy so far" in page


def test_training_shows_its_epochs(tmp_path):
    rows = [{"step": 10 * k, "epoch": k, "loss": 1 / k} for k in (1, 2, 3)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / live.METRICS).write_text(lines)
    out = tmp_path / "site"
    out.mkdir()
    assert live.write(tmp_path, out, 5.0)
    page = (out / "index.html").read_text()
    assert "3 epochs done" in page and "Training loss" in page


def test_it_is_over_when_its_record_is_there(tmp_path):
    (tmp_path / "record.json").write_text("{}")
    (tmp_path / live.METRICS).write_text("")
    assert not live.write(tmp_path, tmp_path / "site", 5.0)


def test_where_nothing_runs(tmp_path):
    with pytest.raises(ValueError, match="expected a run on its way"):
        live.write(tmp_path, tmp_path / "site", 5.0)


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"command": "x", "points": []}', "{", '{"points": [{}]}']
)
def test_a_damaged_file(tmp_path, content):
    (tmp_path / live.PROGRESS).write_text(content)
    with pytest.raises(ValueError, match=r"progress\.json"):
        live.write(tmp_path, tmp_path / "site", 5.0)
