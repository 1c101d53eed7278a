"""The documentation is built without a warning, and nothing of it leads nowhere."""

import os
import pathlib
import re
import subprocess
import sys
from urllib.parse import unquote

import pytest
from sphinx.util.inventory import InventoryFile

from tests import public_api

ROOT = pathlib.Path(__file__).parents[1]
_LINK = re.compile(r'(?:href|src)="([^"#?]*)(?:\?[^"#]*)?(?:#([^"]*))?"')
_ANCHOR = re.compile(r'\b(?:id|name)="([^"]+)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    options = ["-q", "-W", "--keep-going", "-c", "docs", "-d", str(folder / "trees")]
    command = [sys.executable, "-m", "sphinx", *options, ".", str(folder / "html")]
    variables = {**os.environ, "ROBUST_JAX_NOTEBOOKS": "off"}
    done = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_every_public_name_is_documented(site):
    names = {line.partition("(")[0] for line in public_api.listing().splitlines()}
    with (site / "objects.inv").open("rb") as file:
        found = InventoryFile.load(file, "", lambda base, part: part)
    known = {name for kind, of in found.items() if kind[:3] == "py:" for name in of}
    assert {name for name in names if f"robust_jax.{name}" not in known} == set()
    assert len(known) > len(names)  # Attacks, which another list has, and members.


def test_no_link_of_the_site_leads_nowhere(site):
    pages = {path: path.read_text() for path in site.rglob("*.html")}
    anchors = {path: {*_ANCHOR.findall(text)} for path, text in pages.items()}
    assert len(pages) > 20
    for path, text in pages.items():
        for target, anchor in _LINK.findall(text):
            if re.match(r"[a-z]+:", target):
                continue
            to = (path.parent / unquote(target)).resolve() if target else path
            assert to.exists(), f"{path}: {target}"
            if anchor and to in anchors:
                assert unquote(anchor) in anchors[to], f"{path}: {target}#{anchor}"


def test_nothing_is_fetched_from_elsewhere(site):
    for path in site.rglob("*.html"):
        text = path.read_text()
        assert not re.search(r'<(?:script|img|iframe)[^>]+src="https?:', text), path
        assert not re.search(r'<link[^>]+stylesheet[^>]+href="https?:', text), path
    outward = (site / "outward.txt").read_text().splitlines()
    assert any(line == "https://pre-commit.com BUILD" for line in outward)
    assert all(line.startswith("https://") for line in outward), outward
