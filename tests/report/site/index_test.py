"""The pages of a site in Chromium: order, filters, search, hover, scheme, width."""

import pytest

import robust_jax as rj
from tests import made_runs

PAPER = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, left, changes in (
        ("a run", (90, 60, 50), {}),
        ("b run", (90, 9, 9), {"model": "a net of a very long name " + "o" * 80}),
        ("c run", (95, 80, 70), {"audit": None}),
    ):
        record = made_runs.evaluated(left=left, **changes)
        bands = {"low": [0.8, 0.4], "high": [1.0, 0.6]}
        curve = {"eps": [0.0, 0.1], "accuracy": [0.9, 0.5], **bands}
        other = {**curve, "accuracy": [0.7, 0.2]}
        record["series"]["curves_linf"] = {"net": curve, "other": other}
        made_runs.save(folder / name, record)
    trained = {"epoch": [1, 2], "loss": [2.0, 1.0]}
    made_runs.save(
        folder / "d run", made_runs.record([], {"history": trained}, "train")
    )
    rj.report.site(folder, folder / "site", baseline="a run")
    return folder / "site"


def names(page):
    return page.locator("#runs tbody tr td:first-child").all_inner_texts()


def order(page, title, way, press="click"):
    """Sorts by a column, by the pointer or the keyboard, and waits until it stands."""
    head = page.locator("#runs th", has_text=title).locator(".dt-column-order")
    head.focus()
    head.click() if press == "click" else page.keyboard.press(press)
    page.locator(f"th[aria-sort={way}]", has_text=title).wait_for()


def test_columns_sort_by_their_numbers(chromium, site):
    with chromium.page(site / "index.html") as page:
        assert names(page) == ["a run", "b run", "c run", "d run"]
        order(page, "robust", "ascending")
        assert names(page)[-3:] == ["b run", "a run", "c run"]  # 9 %, not "9".
        order(page, "robust", "descending")
        assert names(page)[:3] == ["c run", "a run", "b run"]
        order(page, "difference", "ascending", press="Enter")
        assert names(page)[-3:] == ["b run", "a run", "c run"]


def test_filters_and_search(chromium, site):
    with chromium.page(site / "index.html") as page:
        verdict = page.get_by_role("combobox", name="verdict")
        verdict.select_option("holds up")
        assert names(page) == ["a run", "b run"]
        page.get_by_role("combobox", name="model").select_option("net")
        assert names(page) == ["a run"]
        verdict.select_option("not audited")
        assert names(page) == ["c run"]
        verdict.select_option("all")
        page.get_by_role("searchbox").fill('"c run"')
        assert names(page) == ["c run"]


def test_a_chart_tells_its_numbers_under_the_pointer(chromium, site):
    with chromium.page(site / "runs" / "a-run" / "index.html") as page:
        charts = page.locator(".live svg")
        assert charts.count() == 2
        bars = charts.nth(0).locator("path[aria-roledescription='bar']")
        bars.nth(1).hover()
        tip = page.locator("#vg-tooltip-element")
        assert tip.inner_text().split() == [
            "after", "apgd-ce", "images", "left", "60", "broken", "here", "30",
        ]  # fmt: skip
        points = charts.nth(1).locator("path[aria-roledescription='point']")
        points.nth(1).hover()
        assert tip.inner_text().split() == [
            "of", "net", "linf", "radius", "0.1", "accuracy", "50.0%", "95", "%",
            "from", "40.0%", "95", "%", "to", "60.0%",
        ]  # fmt: skip


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", ["DESK", "PHONE"])
def test_pages_fit_and_take_the_readers_colours(chromium, site, dark, width):
    for name, path in (("index", "index.html"), ("run", "runs/a-run/index.html")):
        wide = getattr(chromium, width)
        with chromium.page(site / path, width=wide, dark=dark) as page:
            if name == "run":
                page.locator(".live svg").nth(1).wait_for()
            chromium.fits(page)
            scheme = "dark" if dark else "light"
            chromium.shot(page, f"site_{name}_{width.lower()}_{scheme}")
            colours = page.evaluate(
                f"[{PAPER}, ...new Set("
                "[...document.querySelectorAll('.chart text')]"
                ".map(t => getComputedStyle(t).fill))]"
            )
            paper, ink = (
                ("22, 22, 22", "232, 232, 230"),
                ("255, 255, 255", "28, 28, 28"),
            )
            expected = paper if dark else ink
            assert colours == [f"rgb({each})" for each in expected]
            page.emulate_media(media="print")
            assert page.evaluate(PAPER) == "rgb(255, 255, 255)"
            assert not page.locator("nav").first.is_visible()


def test_without_scripts_charts_stand_still(chromium, site):
    with chromium.page(site / "runs" / "a-run" / "index.html", scripts=False) as page:
        assert page.locator("noscript svg").count() == 2
        assert page.locator(".chart svg").first.is_visible()
        chromium.shot(page, "site_run_without_scripts")
    with chromium.page(site / "index.html", scripts=False) as page:
        assert names(page) == ["a run", "b run", "c run", "d run"]
        assert not page.locator(".filters").is_visible()


def test_words_stand_out_from_their_ground(chromium, site):
    """WCAG 2.2, 1.4.3: a contrast of 4.5 at least, in both schemes."""
    for dark in (False, True):
        for path in ("index.html", "runs/a-run/index.html"):
            with chromium.page(site / path, dark=dark) as page:
                assert page.evaluate(_FAINT) == []


# Texts whose contrast with what is behind them is below 4.5.
_FAINT = """() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => c.slice(0, 3).map((v) => v / 255).map((v) =>
    v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    const colour = numbers(getComputedStyle(e).backgroundColor);
    const isClear = colour.length === 4 && colour[3] === 0 && e.parentElement;
    return isClear ? ground(e.parentElement) : colour;
  };
  const found = new Set();
  for (const e of document.querySelectorAll('main *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || e.closest('svg, script, noscript, style')) continue;
    const pair = [numbers(getComputedStyle(e).color), ground(e)].map(light);
    const [high, low] = pair[0] > pair[1] ? pair : pair.reverse();
    if ((high + 0.05) / (low + 0.05) < 4.5) found.add(e.tagName + '.' + e.className);
  }
  return [...found];
}"""
