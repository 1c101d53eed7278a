"""What goes wrong with one run leaves that run out; what is the machine's ends all."""

import pytest

import robust_jax as rj
from robust_jax.report.site import build
from tests import made_runs


class OfALibraryError(Exception):
    """What any library may raise of one run."""


@pytest.fixture
def failing(tmp_path, monkeypatch):
    """Two runs, the page of the first of which fails after it was written."""
    runs = [
        made_runs.save(tmp_path / name, made_runs.evaluated())
        for name in ("first", "second")
    ]
    whole = build.write_run

    def with_error(error):
        def write(record, folder, place):
            whole(record, folder, place)
            if folder.name == "first":
                raise error

        monkeypatch.setattr(build, "write_run", write)
        return runs

    return with_error


def test_what_a_library_raises_leaves_the_run_out(failing, tmp_path):
    index = rj.report.site(failing(OfALibraryError("no chart")), tmp_path / "site")
    page = index.read_text()
    assert "runs/second/index.html" in page and "runs/first" not in page
    assert "OfALibraryError: no chart" in page
    assert not (tmp_path / "site" / "runs" / "first" / "index.html").exists()


@pytest.mark.parametrize("error", [OSError("no space left"), MemoryError("too large")])
def test_what_is_of_the_machine_ends_all(failing, tmp_path, error):
    with pytest.raises(type(error), match=str(error)):
        rj.report.site(failing(error), tmp_path / "site")
