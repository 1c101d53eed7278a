"""Lists the links that lead out of the site, which are not fetched, in outward.txt."""

import pathlib
from collections import defaultdict

from docutils import nodes
from sphinx.application import Sphinx


def collect(app: Sphinx, tree: nodes.document, page: str) -> None:
    """Notes a page's links to elsewhere."""
    for link in tree.findall(nodes.reference):
        address = link.get("refuri", "")
        if address.startswith(("http:", "https:", "mailto:")):
            app.env.outward[address].add(page)  # type: ignore[attr-defined]


def begin(app: Sphinx) -> None:
    """Begins a list."""
    app.env.outward = defaultdict(set)  # type: ignore[attr-defined]


def write(app: Sphinx, error: Exception | None) -> None:
    """Writes each address with the pages that have it."""
    found = sorted(app.env.outward.items())  # type: ignore[attr-defined]
    lines = (f"{address} {' '.join(sorted(pages))}\n" for address, pages in found)
    pathlib.Path(app.outdir, "outward.txt").write_text("".join(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.connect("builder-inited", begin)
    app.connect("doctree-resolved", collect)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
