"""A site writes over no run, whoever's it is; its own pages it renews."""

import pytest

import robust_jax as rj
from robust_jax.report.site import live
from tests import made_runs


def kept(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.*")}


@pytest.mark.parametrize(
    ("given", "out"),
    [("runs/first", "."), ("other/first", "."), ("runs/first", "runs/first")],
    ids=["of the runs", "of another", "the run itself"],
)
def test_runs_below_the_place_of_a_site_stay(tmp_path, given, out):
    for name in ("runs/first", "other/first"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        made_runs.save(tmp_path / name, made_runs.evaluated())
    before = kept(tmp_path)
    with pytest.raises(ValueError, match="expected a folder for the site, found a run"):
        rj.report.site(tmp_path / given, tmp_path / out)
    assert kept(tmp_path) == before


def test_a_site_is_made_anew_in_its_place(tmp_path):
    run = made_runs.save(tmp_path / "first", made_runs.evaluated())
    index = rj.report.site(run, tmp_path / "site")
    assert rj.report.site(run, tmp_path / "site") == index
    with pytest.raises(ValueError, match="found a run"):  # Its copy is no run.
        rj.report.site(tmp_path / "site/runs/first", tmp_path / "site")


def test_a_run_on_its_way_has_its_page_elsewhere(tmp_path):
    (tmp_path / live.METRICS).write_text("")
    with pytest.raises(ValueError, match="expected a folder for the site, found a run"):
        live.write(tmp_path, tmp_path, 5.0)
    assert [path.name for path in tmp_path.iterdir()] == [live.METRICS]
