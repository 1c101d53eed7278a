"""Writes the repository's address into what is published, in the tree that it builds.

    python tools/publish_links.py https://github.com/OWNER/robust_jax v0.2.0

The links of README.md, which the package index shows, become absolute; setup.cfg gets
the links of the project. The tree itself does not know where it will be published.
"""

import pathlib
import re
import sys

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#|mailto:)([^)\s]+)\)")


def absolute(text: str, address: str, tag: str) -> str:
    """Markdown whose relative links and pictures lead to a tag of the repository."""

    def replaced(link: re.Match[str]) -> str:
        kind = "raw" if link[1] else "blob"
        return f"{link[1]}[{link[2]}]({address}/{kind}/{tag}/{link[3]})"

    return _LINK.sub(replaced, text)


def with_links(setup: str, address: str, tag: str) -> str:
    """setup.cfg with the links of the project."""
    lines = [
        f"url = {address}",
        "project_urls =",
        f"    Source = {address}",
        f"    Issues = {address}/issues",
        f"    Changelog = {address}/blob/{tag}/CHANGELOG.md",
        f"    Documentation = {address}/tree/{tag}/docs",
    ]
    return setup.replace("[metadata]\n", "\n".join(["[metadata]", *lines, ""]), 1)


def main(address: str, tag: str) -> None:
    """Rewrites both files."""
    for name, change in (("README.md", absolute), ("setup.cfg", with_links)):
        file = pathlib.Path(name)
        file.write_text(change(file.read_text(), address.rstrip("/"), tag))


if __name__ == "__main__":
    main(*sys.argv[1:])
