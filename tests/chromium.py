"""Pages in a real browser: the installed Chromium, headless, without a network.

    def test_a_page(chromium, tmp_path):
        with chromium.page(tmp_path / "index.html", width=chromium.PHONE) as page:
            chromium.fits(page)
            chromium.shot(page, "index_phone")

A page that writes to the console, raises, opens a dialog or another page, or asks for
anything but files, data and blobs fails its test. Pictures are kept in
`out/screenshots`, for people to look at. The browser's home is a folder of pytest's.

One browser a file of tests, half a second: while Playwright runs, its event loop is
that of the thread, and others that want one, such as Orbax, refuse to work.
"""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest

SHOTS = pathlib.Path(__file__).parents[1] / "out" / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome")
_ALLOWED = ("file", "data", "blob")
_HEIGHT, _PATIENCE = 900, 5_000  # pixels, milliseconds

# What reaches beyond the page's width, but for what stands in a box that scrolls.
_TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth, found = [];
  if (document.documentElement.scrollWidth <= width) return found;
  const cut = (e) => e && (getComputedStyle(e).overflowX !== 'visible'
    ? e !== document.body && e !== document.documentElement : cut(e.parentElement));
  for (const e of document.querySelectorAll('body *')) {
    const right = e.getBoundingClientRect().right;
    if (right > width + 1 && !cut(e.parentElement)) {
      found.push(`${e.tagName.toLowerCase()}.${e.className} to ${Math.round(right)}`);
    }
  }
  return found.length ? found : ['something'];
}"""


class Chromium:
    """A running browser.

    Args:
        browser: Playwright's.
    """

    DESK, PHONE = 1400, 390  # widths in pixels

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    @contextlib.contextmanager
    def page(
        self,
        path: pathlib.Path,
        *,
        width: int = DESK,
        dark: bool = False,
        scripts: bool = True,
    ) -> Iterator[Any]:
        """An open page; at the end, AssertionError for all that it should not do."""
        complaints: list[str] = []
        context = self._browser.new_context(
            offline=True,
            viewport={"width": width, "height": _HEIGHT},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )
        context.set_default_timeout(_PATIENCE)
        context.on("page", lambda opened: _watch(opened, complaints))
        try:
            page = context.new_page()
            page.goto(path.resolve().as_uri())
            yield page
            page.title()  # What the page said before has come by then.
            complaints += ["another page was opened"] * (len(context.pages) - 1)
        finally:
            context.close()
        assert not complaints, "\n".join(complaints)

    def shot(self, page: Any, name: str, whole: bool = True) -> pathlib.Path:
        """Keeps a picture of the page, of all of it or of what the window shows."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / f"{name}.png"
        page.screenshot(path=path, full_page=whole, animations="disabled")
        return path

    def fits(self, page: Any) -> None:
        """AssertionError unless nothing reaches beyond the page's width."""
        found = page.evaluate(_TOO_WIDE)
        assert not found, f"wider than the window: {', '.join(found[:10])}"


def _watch(page: Any, complaints: list[str]) -> None:
    def dismiss(dialog: Any) -> None:
        complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def asked(request: Any) -> None:
        if urlsplit(request.url).scheme not in _ALLOWED:
            complaints.append(f"request: {request.url}")

    page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("crash", lambda _: complaints.append("the page crashed"))
    page.on("dialog", dismiss)
    page.on("request", asked)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """The browser of a file of tests, which are skipped where none is installed."""
    found = [path for path in map(shutil.which, NAMES) if path]
    if not found:
        pytest.skip(f"none of {', '.join(NAMES)} is installed; no page is opened")
    from playwright import sync_api

    # Not TMPDIR: sockets lie there, whose names may have 107 bytes.
    home = {"HOME": str(tmp_path_factory.mktemp("chromium"))}
    with contextlib.ExitStack() as stack:
        with mock.patch.dict(os.environ, home):
            playwright = stack.enter_context(sync_api.sync_playwright())
            browser = playwright.chromium.launch(
                executable_path=found[0],
                chromium_sandbox=os.geteuid() != 0,  # root is refused one.
            )
        stack.callback(browser.close)
        yield Chromium(browser)
