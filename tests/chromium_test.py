"""The harness notices what a page should not do, and today's pages do nothing such."""

import pytest

from robust_jax import report
from tests import saved_runs

HEAD = "<!DOCTYPE html><html><head><title>t</title></head><body>"
BAD = {
    "log: hello": "<script>console.log('hello')</script>",
    "error: hello": "<script>throw new Error('hello')</script>",
    "dialog: hello": "<script>alert('hello')</script>",
    "request: http://127.0.0.1:1/hello": "<img src='http://127.0.0.1:1/hello'>",
    "ERR_FILE_NOT_FOUND": "<img src='hello.png'>",
    "warning: hello": "<script>setTimeout(() => console.warn('hello'), 0)</script>",
}


@pytest.mark.parametrize("complaint", BAD)
def test_what_a_page_should_not_do_fails(chromium, tmp_path, complaint):
    path = tmp_path / "index.html"
    path.write_text(HEAD + BAD[complaint])
    with pytest.raises(AssertionError, match=complaint), chromium.page(path):
        pass


def test_an_opened_page_fails(chromium, tmp_path):
    path = tmp_path / "index.html"
    path.write_text(HEAD + "<a href='' target='_blank'>more</a>")
    fails = pytest.raises(AssertionError, match="another page was opened")
    with fails, chromium.page(path) as page, page.expect_popup():
        page.click("a")


def test_a_page_too_wide_is_noticed_unless_a_box_scrolls(chromium, tmp_path):
    path = tmp_path / "index.html"
    wide = "<div class='broad' style='width: 700px'>x</div>"
    path.write_text(f"{HEAD}<div style='overflow-x: auto'>{wide}</div>")
    with chromium.page(path, width=chromium.PHONE, scripts=False) as page:
        chromium.fits(page)
    path.write_text(HEAD + wide)
    fails = pytest.raises(AssertionError, match=r"div\.broad to 70\d")
    with fails, chromium.page(path, width=chromium.PHONE, scripts=False) as page:
        chromium.fits(page)


@pytest.mark.parametrize("dark", [False, True])
def test_a_record_as_a_page(chromium, tmp_path, dark):
    command = "robust-jax evaluate --model=" + "a" * 300
    record = saved_runs.record(command=command, notes=["A note."])
    figure = tmp_path / "curve.png"
    curve = {"eps": [0, 1], "accuracy": [1, 0.5]}
    report.figures.robustness_curves(figure, {"net": curve}, "t", "x")
    path = tmp_path / "index.html"
    report.write_page(path, record, [report.PageFigure("Curve", "Of it.", figure)])
    with chromium.page(path, width=chromium.PHONE, dark=dark, scripts=False) as page:
        chromium.fits(page)
        assert page.inner_text("h1") == "Robustness of net"
        ink, paper = page.evaluate(
            "[getComputedStyle(document.body).color, "
            "getComputedStyle(document.body).backgroundColor].map("
            "c => Number(c.match(/\\d+/)[0]))"
        )
        assert (ink > 200 and paper < 50) if dark else (ink < 50 and paper > 200)
        name = f"record_phone_{'dark' if dark else 'light'}"
        assert chromium.shot(page, name).read_bytes().startswith(b"\x89PNG")
