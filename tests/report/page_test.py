import base64
import html.parser
import itertools
import os
import pathlib
import sys

import numpy as np
import pytest

from robust_jax import report
from robust_jax.core import records
from robust_jax.core.metrics import Proportion

EVIL = "<script>alert('&\"')</script>"


class Reader(html.parser.HTMLParser):
    """Tags with their attributes, and the text of the page as a person reads it."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.tags, self.text, self.cells, self._open = [], "", [], []
        self.feed(pathlib.Path(path).read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img"):
            self._open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self._open and self._open[-1] in ("td", "th"):
            self.cells[-1] += data

    def find(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def close(self):
        super().close()
        assert self._open == []


def make_record(**changes):
    rows = [
        {"net": EVIL, "n": 1797, "accuracy": Proportion(457, 500), "seconds": 1.25},
        {"net": "robust", "n": 500, "accuracy": Proportion(5, 500), "seconds": np.nan},
    ]
    record = {
        "schema": records.SCHEMA,
        "experiment": "quickstart",
        "title": f"Page {EVIL}",
        "summary": f"Summary {EVIL}",
        "command": f"python -m experiments.quickstart --name='{EVIL}'",
        "flags": {EVIL: EVIL, "eps": 0.30000000000000004, "n": np.int64(1797)},
        "environment": {"jax": "0.0", "git_commit": None},
        "rows": rows,
        "series": {},
        "notes": [f"note {EVIL}"],
        "figures": [],
        "seconds": 12.345,
    }
    return records.Record(**{**record, **changes})


@pytest.fixture
def pictures(tmp_path):
    made = []
    for name, level in (("a", 0.25), ("b", 0.75)):
        path = tmp_path / f"{name}.png"
        curve = {"eps": [0, 1], "accuracy": [1, level]}
        report.figures.robustness_curves(path, {name: curve}, "t", "x")
        texts = f"Title {name} {EVIL}", f"Caption {name} {EVIL}"
        made.append(report.PageFigure(*texts, path))
    return made


def write(folder, record=None, figures=(), **options):
    path = folder / "index.html"
    report.write_page(path, record or make_record(), figures, **options)
    return path


def test_all_text_is_escaped(tmp_path, pictures):
    page = Reader(write(tmp_path, figures=pictures))
    page.close()
    assert not page.find("script")
    # Title twice, summary, note, row, two figures' titles and captions, command, flag.
    assert page.text.count(EVIL) == 12


def test_rows_are_the_tables_cells(tmp_path):
    page = Reader(write(tmp_path))
    assert page.cells[:12] == [
        "net", "n", "accuracy", "seconds",
        EVIL, "1,797", "91.4 % [88.6, 93.6]", "1.25",
        "robust", "500", "1.0 % [0.4, 2.3]", "NaN",
    ]  # fmt: skip


def test_columns_choose_and_format(tmp_path):
    columns = [report.Column("seconds", "time", report.fixed(2))]
    page = Reader(write(tmp_path, columns=columns))
    assert page.cells[:3] == ["time", "1.25", "nan"]


def test_flags_are_shown_unrounded(tmp_path):
    cells = Reader(write(tmp_path)).cells
    pairs = dict(itertools.pairwise(cells))
    assert pairs["eps"] == "0.30000000000000004"
    assert pairs["n"] == "1797"
    assert pairs["git_commit"] == "–"


def test_every_figure_is_in_the_page_byte_for_byte(tmp_path, pictures):
    images = Reader(write(tmp_path, figures=pictures)).find("img")
    head = "data:image/png;base64,"
    assert all(image["src"].startswith(head) for image in images)
    found = [base64.b64decode(image["src"].removeprefix(head)) for image in images]
    assert found == [path.read_bytes() for _, _, path in pictures]
    for image, (title, caption, _) in zip(images, pictures, strict=True):
        assert title in image["alt"] and caption in image["alt"]


def test_the_page_loads_nothing(tmp_path, pictures):
    page = Reader(write(tmp_path, figures=pictures))
    names = ("src", "href", "srcset", "data", "action", "background")
    sources = [attrs[k] for _, attrs in page.tags for k in names if k in attrs]
    sources = [source for source in sources if not source.startswith("#")]
    assert len(sources) == 3  # The icon and two figures.
    assert all(source.startswith("data:") for source in sources)
    assert "url(" not in page.text and "@import" not in page.text
    policy = [m["content"] for m in page.find("meta") if "http-equiv" in m]
    assert policy == [
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    ]


def test_without_jinja2_the_page_has_the_texts_and_says_what_to_install(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    page = Reader(write(tmp_path))
    page.close()
    assert "run pip install 'robust-jax[pages]'" in page.text
    assert "91.4 % [88.6, 93.6]" in page.text and f"note {EVIL}" in page.text
    assert not page.find("script")


def test_a_record_read_back_gives_the_same_page(tmp_path, pictures):
    record = make_record()
    first = write(tmp_path, record, pictures).read_bytes()
    records.write_json(tmp_path / "record.json", record)
    again = records.read_json(tmp_path / "record.json")
    assert write(tmp_path, again, pictures).read_bytes() == first


def test_a_record_without_rows_notes_or_figures_is_a_page(tmp_path):
    page = Reader(write(tmp_path, make_record(rows=[], notes=[])))
    page.close()
    assert "Results" not in page.text and "Notes" not in page.text
    assert "12.3 seconds" in page.text


def test_a_failure_while_writing_leaves_the_old_page(tmp_path):
    path = write(tmp_path)
    old = path.read_bytes()
    with pytest.raises(UnicodeEncodeError):
        write(tmp_path, make_record(notes=["\udcff"]))  # Known only while encoding.
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["index.html"]


@pytest.mark.parametrize("content", [None, b"GIF89a"])
def test_a_bad_figure_is_named_and_the_old_page_stays(tmp_path, content):
    path = write(tmp_path)
    old = path.read_bytes()
    if content is not None:
        (tmp_path / "c.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"figure=.*c\.png; expected a PNG file"):
        write(tmp_path, figures=[("Title", "Caption", tmp_path / "c.png")])
    assert path.read_bytes() == old
    assert {name for name in os.listdir(tmp_path) if "html" in name} == {"index.html"}


def test_further_tables_stand_in_order_between_the_figures(tmp_path, pictures):
    rows = [{"layer": EVIL, "norm": 2.5}, {"layer": "dense", "norm": 1.25}]
    columns = (report.Column("norm", "the norm", report.fixed(2)),)
    parts = [
        pictures[0],
        report.PageTable(f"Table {EVIL}", f"About {EVIL}", rows),
        pictures[1],
        report.PageTable("Norms", "", rows, columns),
    ]
    page = Reader(write(tmp_path, figures=parts))
    page.close()
    places = [page.text.index(t) for t in ("Title a", "Table <", "Title b", "Norms")]
    assert places == sorted(places)
    assert f"About {EVIL}" in page.text
    assert page.cells.count("2.5") == 1 and page.cells.count("2.50") == 1
    assert page.cells.count(EVIL) >= 2  # Of the rows and of this table.
