"""A site on disk: its files, links, policy, and what hostile records cannot do."""

import html.parser
import itertools
import json
import os
import pathlib
import re
import sys
import xml.etree.ElementTree

import numpy as np
import pytest

import robust_jax as rj
from robust_jax.core import records
from robust_jax.core.metrics import Proportion
from robust_jax.report.site import differences
from tests import made_runs

PAYLOADS = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</noscript><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)",
    '" autofocus onfocus="alert(1)',
    "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "<!--<script>",
    "]]><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "<iframe src=//example.org></iframe>",
    "<meta http-equiv=refresh content=0;url=//example.org>",
    "<base href=//example.org>",
    "<form action=//example.org><button>",
    "<a href=javascript:alert(1)>x</a>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\u202e\u0000\ud800<b>",
)
TAGS = """
    html head meta link title style body a main nav h1 h2 h3 section p span dl div dt
    dd table thead tbody tr th td figure figcaption script noscript img details
    summary strong small ul li pre form label select option svg g path line text rect
    defs clippath
"""


class Page(html.parser.HTMLParser):
    """Tags, attributes and texts; `without` reads as a browser without scripts."""

    CDATA_CONTENT_ELEMENTS = ("script", "style")

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.tags, self.text, self.inside, self.blocks = [], "", None, []
        self.feed(pathlib.Path(path).read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.inside == "script" and data.strip():
            self.blocks.append(data)
        self.text += data

    def handle_endtag(self, tag):
        self.inside = None

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def curves(name):
    points = {"eps": [0.0, 0.1, 0.2], "accuracy": [0.9, 0.6, 0.5]}
    bands = {"low": [0.8, 0.5, 0.4], "high": [1.0, 0.7, 0.6]}
    return {name: {**points, **bands}, "other": points}


def winners(holds, n):
    return np.where(np.arange(n) < holds, -1, 0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Four runs and a broken one."""
    folder = tmp_path_factory.mktemp("runs")
    first, second = made_runs.evaluated(), made_runs.evaluated(left=(90, 50, 30))
    first["series"]["curves_linf"] = curves("net")
    made_runs.save(folder / "first", first, winners(50, 100))
    made_runs.save(folder / "second", second, winners(30, 100))
    other = made_runs.evaluated(left=(9, 8, 7), n=10, threat="l2 eps=1")
    made_runs.save(folder / "third", other)
    history = {"epoch": [1, 2], "loss": [2.0, 1.0], "train_accuracy": [0.5, 0.6]}
    rows = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}]
    tables = {"Layers": [{"layer": "dense", "norm": -2.5}]}
    series = {"history": history, "tables": tables}
    trained = made_runs.record(rows, series, "train", title="Training")
    made_runs.save(folder / "trained", trained)
    (folder / "broken").mkdir()
    (folder / "broken" / "record.json").write_text("{")
    return folder


@pytest.fixture(scope="module")
def site(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    rj.report.site(runs, out, baseline=runs / "first", title="All of them")
    return out


def lines_of(page):
    """Texts of the cells of the index, by the name of the run."""
    text = pathlib.Path(page).read_text()
    body = text[text.index("<tbody>") : text.index("</tbody>")]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.S) for row in body.split("<tr>")]
    plain = [
        [re.sub(r"<[^>]*>", " ", cell).split() for cell in row] for row in rows[1:]
    ]
    return {" ".join(row[0]): [" ".join(cell) for cell in row] for row in plain}


def test_the_index_has_a_line_for_each_run(site):
    lines = lines_of(site / "index.html")
    assert list(lines) == ["first", "second", "third", "trained"]
    assert lines["first"] == [
        "first", "holds up", str(Proportion(50, 100)), "baseline",
        str(Proportion(90, 100)), "100", "net", "linf eps=0.1", "digits", "swift",
        "1,000 + 500", "12.5", "2026-11-30 12:34", "evaluate",
    ]  # fmt: skip
    assert lines["trained"][1:5] == ["no claim", "–", "–", "–"]


def test_differences_are_paired_where_the_images_are_the_same(site):
    lines = lines_of(site / "index.html")
    one, other = np.arange(100) < 30, np.arange(100) < 50
    found = differences.paired(one, other)
    assert lines["second"][3] == f"{found} {found.how}" and found.value == -0.2
    assert lines["third"][3] == "– other threat"


def test_differences_without_the_images_are_unpaired(runs, tmp_path):
    winner = winners(31, 100)  # Not those that the record counts.
    made_runs.save(tmp_path / "a", made_runs.evaluated(left=(90, 50, 30)), winner)
    index = rj.report.site(
        [tmp_path / "a", runs / "first"], tmp_path / "site", baseline="first"
    )
    found = differences.unpaired(Proportion(30, 100), Proportion(50, 100))
    assert lines_of(index)["a"][3] == f"{found} unpaired"


def test_what_cannot_be_read_is_named(site):
    text = Page(site / "index.html").text
    assert re.search(r"broken: path=.*record\.json; expected JSON", text)


def test_every_link_leads_to_a_file_of_the_site(site):
    pages = sorted(site.glob("**/*.html"))
    assert len(pages) == 5
    for path in pages:
        page = Page(path)
        for _, attrs in page.tags:
            for link in (attrs.get("href"), attrs.get("src")):
                if link and link.startswith("#"):
                    assert link[1:] in [a.get("id") for _, a in page.tags]
                elif link not in (None, "data:,"):
                    target = (path.parent / link).resolve()
                    assert target.is_file() and target.is_relative_to(site.resolve())


def test_a_page_allows_its_own_files_only(site):
    for path in site.glob("**/*.html"):
        page = Page(path)
        [policy] = [m["content"] for m in page.all("meta") if "http-equiv" in m]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe-eval" not in policy and "http" not in policy
        text = path.read_text()
        assert "<script>" not in text  # An inline one would be refused.


def test_downloads(site):
    place = site / "runs" / "trained"
    links = [a["href"] for a in Page(place / "index.html").all("a") if "download" in a]
    assert {"rows.csv", "layers.csv", "record.json", "training-loss.png"} <= set(links)
    assert (place / "layers.csv").read_text() == "layer,norm\ndense,-2.5\n"
    assert (place / "training-loss.pdf").read_bytes().startswith(b"%PDF")
    assert (place / "training-loss.png").read_bytes().startswith(b"\x89PNG")
    with np.load(site / "runs" / "first" / "adversarial.npz") as arrays:
        assert (arrays["winner"] == -1).sum() == 50
    checks = (site / "runs" / "first" / "checks.csv").read_text()
    assert "says 1." in checks and "remedy 2." in checks


def test_the_first_screen_tells_how_robust_and_whether_to_believe_it(site):
    text = " ".join(Page(site / "runs" / "first" / "index.html").text.split())
    order = [
        "net under linf eps=0.1 holds up",
        str(Proportion(90, 100)),
        str(Proportion(50, 100)),
        "Every adversarial example holds, and nothing that the audit checked",
        "Images left, by stage",
        "Cost",
        "1 passed, 0 flagged, 1 not run",
        "says 1.",
        "Robust accuracy against the radius",
    ]
    places = [text.index(words) for words in order]
    places += [text.rindex(words) for words in ("How to cite", "Downloads")]
    assert places == sorted(places)


def test_charts_stand_still_where_there_are_no_scripts(site):
    text = (site / "runs" / "first" / "index.html").read_text()
    still = re.findall(r"<noscript>(.*?)</noscript>", text, re.S)
    specs = re.findall(r'class="spec"[^>]*>(.*?)</script>', text, re.S)
    assert len(still) == len(specs) == 2
    for each in still:
        xml.etree.ElementTree.fromstring(re.search("<svg.*</svg>", each, re.S).group())
    assert [len(json.loads(spec)["layer"]) for spec in specs] == [2, 2]


def test_a_site_is_made_again_byte_for_byte(runs, site, tmp_path):
    rj.report.site(runs, tmp_path, baseline=runs / "first", title="All of them")
    names = {p.relative_to(site) for p in site.glob("**/*") if p.is_file()}
    assert names == {
        p.relative_to(tmp_path) for p in tmp_path.glob("**/*") if p.is_file()
    }
    differ = [
        n for n in names if (site / n).read_bytes() != (tmp_path / n).read_bytes()
    ]
    assert [name for name in differ if name.suffix != ".pdf"] == []


@pytest.fixture(scope="module")
def hostile_site(tmp_path_factory):
    """Every text of some records is a payload, all payloads in turn."""
    folder = tmp_path_factory.mktemp("hostile")
    for i in range(3):
        run = folder / "runs" / f"{i} <b> ' \" &"
        run.mkdir(parents=True)
        turn = itertools.cycle(PAYLOADS[8 * i :] + PAYLOADS[: 8 * i])
        text = json.dumps(records.plain(hostile(turn)))  # Any character, as \\u1234.
        (run / "record.json").write_text(text)
    baseline = "0 <b> ' \" &"
    title = PAYLOADS[0]
    rj.report.site(folder / "runs", folder / "site", title=title, baseline=baseline)
    return folder / "site"


def hostile(turn):
    """A record whose every text is the next payload."""
    audit = [
        made_runs.finding(
            i, v, name=next(turn), says=next(turn), remedy=next(turn), limit=next(turn)
        )
        for i, v in enumerate(("pass", "flag", "skipped"))
    ]
    claims = {"passed": True, "summary": next(turn)}
    texts = {"claims": claims, "distrust": next(turn), "citation": next(turn)}
    texts |= {"audit": made_runs.audit(*audit)}
    record = made_runs.evaluated(model=next(turn), threat=next(turn), **texts)
    for stage, row in enumerate(record["series"]["evaluation"]["rows"][1:3]):
        row["attack"] = f"{stage}{next(turn)}"
    for stage in record["series"]["evaluation"]["ledger"]:
        stage["stage"] = next(turn)
    tables = {next(turn): [{next(turn): next(turn)}, {next(turn): 1}]}
    record["series"] |= {next(turn): curves(next(turn)), "tables": tables}
    record["series"]["distances"] = {next(turn): [0.1, 0.2], "b": [0.3]}
    for key in ("title", "summary", "command", "experiment"):
        record[key] = next(turn)
    record["notes"] = list(PAYLOADS)
    record["flags"] = {
        next(turn): next(turn),
        "plan": next(turn),
        "dataset": next(turn),
    }
    record["environment"] = {next(turn): next(turn), "date": next(turn)}
    return record


def test_a_site_among_the_runs_is_not_read_as_runs(tmp_path):
    made_runs.save(tmp_path / "one", made_runs.record())
    for _ in range(2):
        rj.report.site(tmp_path, tmp_path / "site")
        assert os.listdir(tmp_path / "site" / "runs") == ["one"]


def test_hostile_records_stay_texts(hostile_site):
    pages = sorted(hostile_site.glob("**/*.html"))
    assert len(pages) == 4
    for path in pages:
        page = Page(path)
        assert {tag for tag, _ in page.tags} <= set(TAGS.split())
        for tag, attrs in page.tags:
            assert not [name for name in attrs if name.startswith("on")]
            assert not str(attrs.get("href", "")).startswith(("javascript:", "//"))
            if tag == "script":
                is_data = attrs.get("type") == "application/json"
                assert is_data or attrs["src"].startswith(("assets/", "../../assets/"))
        for block in page.blocks:
            json.loads(block)
    for path in pages[1:]:
        text = Page(path).text
        assert all(evil in text for evil in PAYLOADS[:-1])
        assert not set("\u202e\u0000") & set(text)  # What turns or ends a line.
    names = [p.relative_to(hostile_site) for p in hostile_site.glob("**/*")]
    assert all(re.fullmatch(r"[a-z0-9./-]+", str(name)) for name in names)


def test_odd_values_leave_a_run_out_and_not_the_others(runs, tmp_path):
    odd = made_runs.evaluated()
    odd["series"]["evaluation"]["audit"] = {"findings": [{"verdict": "pass"}]}
    made_runs.save(tmp_path / "odd", odd)
    given = [tmp_path / "odd", runs / "first"]
    index = rj.report.site(given, tmp_path / "site", baseline="odd")
    assert list(lines_of(index)) == ["first"]
    assert "odd: KeyError" in Page(index).text


def test_figures_are_those_in_the_folder(tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    figures = [
        {"name": n, "title": f"Title {n}", "caption": "", "file": f"figures/{n}.png"}
        for n in ("good", "link", "missing")
    ]
    run = made_runs.save(tmp_path / "run", made_runs.record(figures=figures))
    (run / "figures").mkdir()
    (run / "figures" / "good.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 20)
    (run / "figures" / "good.pdf").write_bytes(b"%PDF")
    os.symlink(tmp_path / "secret.png", run / "figures" / "link.png")
    rj.report.site(run, tmp_path / "site")
    place = tmp_path / "site" / "runs" / "run"
    assert sorted(p.name for p in (place / "figures").iterdir()) == [
        "good.pdf",
        "good.png",
    ]
    page = Page(place / "index.html")
    assert [image["src"] for image in page.all("img")] == ["figures/good.png"]
    assert "Title good" in page.text and "Title link" not in page.text


@pytest.mark.parametrize(
    ("given", "out", "options", "says"),
    [
        (["nowhere"], "site", {}, r"runs=\['.*nowhere'\]; expected folders of runs"),
        (["first"], "site", {"baseline": "none"}, "baseline=none; .* none is it"),
        (["first"], "first", {}, "out=.*first; expected a folder .*, found a run"),
        ([], "site", {}, r"runs=\[\]; expected"),
    ],
)  # fmt: skip
def test_bad_arguments(runs, given, out, options, says):
    before = sorted(runs.glob("**/*"))
    with pytest.raises(ValueError, match=says):
        rj.report.site([runs / name for name in given], runs / out, **options)
    assert sorted(runs.glob("**/*")) == before


@pytest.mark.parametrize(
    "bad", [{"runs": 3}, {"runs": ["a", 3]}, {"baseline": 3}, {"title": 3}]
)
def test_arguments_of_other_types_are_named(bad, runs, tmp_path):
    given = {"runs": [runs / "first"], "out": tmp_path / "site", **bad}
    [name] = bad
    with pytest.raises((TypeError, ValueError), match=rf"^{name}(\[1\])?=3; expected"):
        rj.report.site(**given)
    assert not (tmp_path / "site").exists()


def test_a_baseline_is_known_by_its_path_before_its_name(runs, tmp_path):
    made_runs.save(tmp_path / "first", made_runs.evaluated(left=(90, 50, 30)))
    given = [runs / "first", tmp_path / "first"]
    index = rj.report.site(given, tmp_path / "site", baseline=tmp_path / "first")
    assert lines_of(index)["first"][3] == "baseline"  # The second, which stands last.
    with pytest.raises(ValueError, match="more than one has this name"):
        rj.report.site(given, tmp_path / "site", baseline="first")


@pytest.mark.parametrize("name", ["jinja2", "altair", "vl_convert", "itables"])
def test_a_missing_library_is_a_sentence_before_anything_is_written(
    name, runs, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"needs {name}.*'robust-jax\[pages\]'"):
        rj.report.site(runs, tmp_path / "site")
    assert not (tmp_path / "site").exists()
