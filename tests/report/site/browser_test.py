"""The image browser of a run's page in Chromium: filters, order, keys, sizes."""

import json

import pytest

from robust_jax.report.site import build
from tests import saved_runs

SHOWN = ".card:not([hidden])"


@pytest.fixture(scope="module")
def page_path(tmp_path_factory):
    """24 images: at i % 4 of 0 and 1 the stages broke, 2 holds, 3 was wrong."""
    folder = tmp_path_factory.mktemp("browser")
    names = ["a circle of a very long name " + "o" * 60, "square", "star"]
    record = saved_runs.record(classes=names, n=24)
    arrays = saved_runs.arrays(n=24, shape=(16, 16, 3))
    arrays["margin_adv"][4] = float("inf")
    run = saved_runs.save(folder / "run", record, arrays)
    build.site([run], folder / "site")
    return folder / "site" / "runs" / "run" / "index.html"


def shown(page):
    """Positions of the images that are visible, in their order."""
    return page.locator(SHOWN).evaluate_all("cards => cards.map(c => +c.dataset.at)")


def choice(page, name):
    return page.get_by_role("combobox", name=name, exact=True)


def focused(page):
    """The image that has the focus."""
    card = "document.activeElement.closest('.card')"
    return page.evaluate(f"{card} && +{card}.dataset.at")


def enlarged(page):
    """The image in the dialog; None where it is closed."""
    told = page.locator("dialog[open] .truth .number")
    return int(told.inner_text()[1:]) if told.count() else None


def test_filters_and_counts(chromium, page_path):
    with chromium.page(page_path) as page:
        count = page.locator(".count")
        assert count.inner_text() == (
            "Showing 24 of 24 images: 12 of 12 broken, 6 of 6 wrong without an "
            "attack, 6 of 6 that hold."
        )
        choice(page, "Stage").select_option("square")
        assert shown(page) == [1, 5, 9, 13, 17, 21]
        choice(page, "True class").select_option("square")
        assert shown(page) == [5, 17]
        assert "Showing 2 of 24 images: 2 of 12 broken, 0 of 6" in count.inner_text()
        choice(page, "Outcome").select_option("holds")
        assert shown(page) == [] and "Showing 0 of 24" in count.inner_text()
        choice(page, "Stage").select_option("all")
        assert shown(page) == [6, 18]
        choice(page, "True class").select_option("all")
        assert shown(page) == [2, 6, 10, 14, 18, 22]


def test_order(chromium, page_path):
    with chromium.page(page_path) as page:
        choice(page, "Outcome").select_option("broken")
        assert shown(page)[:7] == [0, 4, 8, 12, 16, 20, 1]
        order, back = choice(page, "Order"), page.get_by_label("reversed")
        order.select_option("of the data")
        assert shown(page)[:4] == [0, 1, 4, 5]
        order.select_option("confidence, attacked")  # Falls with the position.
        assert shown(page)[:3] == [21, 20, 17]
        back.check()
        assert shown(page)[:3] == [0, 1, 4]
        order.select_option("margin, clean")
        assert shown(page)[:3] == [0, 1, 4]
        back.uncheck()
        assert shown(page)[:3] == [21, 20, 17]
        order.select_option("margin, attacked")  # 0.5 all, but what is not finite.
        assert shown(page)[-1] == 4
        back.check()
        assert shown(page)[-1] == 4


def test_keys(chromium, page_path):
    with chromium.page(page_path) as page:
        choice(page, "Outcome").select_option("broken")
        page.get_by_label("reversed").focus()
        page.keyboard.press("Tab")  # One stop for all images.
        assert focused(page) == 0
        for key, at in (
            ("ArrowLeft", 0), ("ArrowRight", 4), ("ArrowRight", 8), ("ArrowDown", 20),
            ("ArrowUp", 8), ("End", 21), ("ArrowRight", 21), ("Home", 0),
        ):  # fmt: skip
            page.keyboard.press(key)
            assert focused(page) == at, key
        outline = "getComputedStyle(document.activeElement).outlineWidth"
        assert page.evaluate(outline) == "3px"
        page.keyboard.press("Enter")
        assert enlarged(page) == 0
        for key, at in (("ArrowRight", 4), ("ArrowRight", 8), ("ArrowLeft", 4)):
            page.keyboard.press(key)
            assert enlarged(page) == at, key
        page.get_by_role("button", name="Next").click()
        assert enlarged(page) == 8
        page.keyboard.press("Escape")
        assert enlarged(page) is None and focused(page) == 8
        page.keyboard.press("Shift+Tab")
        assert page.evaluate("document.activeElement.name") == "reverse"


def test_what_is_read_aloud(chromium, page_path):
    with chromium.page(page_path) as page:
        assert page.get_by_role("list", name="Images").count() == 1
        assert page.get_by_role("status").count() == 1
        page.get_by_role("button", name="Enlarge image 5", exact=True).click()
        dialog = page.get_by_role("dialog", name="Enlarged image")
        texts = dialog.get_by_role("img").evaluate_all("all => all.map(i => i.alt)")
        assert texts == [
            "Image 5, clean: square.",
            "Image 5, attacked: the model says star.",
            "Image 5, difference: × 5.",
        ]
        assert dialog.locator("img").first.bounding_box()["width"] > 250


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", ["desk", "phone"])
def test_sizes_and_colours(chromium, page_path, width, dark):
    pixels = chromium.DESK if width == "desk" else chromium.PHONE
    with chromium.page(page_path, width=pixels, dark=dark) as page:
        chromium.fits(page)
        name = f"images_{width}_{'dark' if dark else 'light'}"
        page.evaluate("document.querySelector('#images').scrollIntoView()")
        chromium.shot(page, name, whole=False)
        page.locator(".pictures").first.click()
        chromium.fits(page)
        chromium.shot(page, f"{name}_enlarged", whole=False)
        assert page.evaluate(
            "getComputedStyle(document.querySelector('.card img')).imageRendering"
        ) == ("pixelated")


def test_without_scripts_all_images_stand_there(chromium, page_path):
    with chromium.page(page_path, width=chromium.PHONE, scripts=False) as page:
        chromium.fits(page)
        assert len(shown(page)) == 24
        assert not page.locator(".filters, .count, dialog").filter(visible=True).count()
        loaded = "all => all.every(i => i.complete && i.naturalWidth === 16)"
        assert page.locator(".card img").evaluate_all(loaded)
        chromium.shot(page, "images_no_scripts", whole=False)


def test_what_is_missing_is_said(chromium, tmp_path):
    arrays = saved_runs.arrays()
    del arrays["x"]
    run = saved_runs.save(tmp_path / "run", saved_runs.record(), arrays)
    build.site([run], tmp_path / "site")
    with chromium.page(tmp_path / "site" / "runs" / "run" / "index.html") as page:
        said = page.locator("#images p").inner_text()
        assert said.endswith("its adversarial.npz has no x.")
    assert json.loads((run / "record.json").read_text())["schema"]
