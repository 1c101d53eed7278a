"""The figures that a run drew, for its page: in the page's file or beside it."""

import base64
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_WIDTH = slice(16, 20)  # PNG specification, 11.2.1: big-endian, first in IHDR.
_PIXELS_PER_UNIT = 150 / 96  # Our figures per inch, CSS per inch: text keeps its size.
_SHOWN = (".png", ".svg")  # What browsers show; papers take the others.
_KINDS = (*_SHOWN, ".pdf", ".pgf")


class Drawing(NamedTuple):
    """A figure of a page."""

    title: str
    caption: str
    src: str
    width: int | None = None  # in CSS pixels


def inside(title: str, caption: str, path: str | os.PathLike[str]) -> Drawing:
    """A PNG file as part of a page's own file.

    Raises: ValueError: no such file, or no PNG.
    """
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise ValueError(
            f"figure={os.fspath(path)}; expected a PNG file ({error.strerror}); "
            "draw it first"
        ) from error
    if not content.startswith(_PNG):
        raise ValueError(
            f"figure={os.fspath(path)}; expected a PNG file, found other content; "
            "draw it again"
        )
    data = base64.b64encode(content).decode("ascii")
    return Drawing(title, caption, f"data:image/png;base64,{data}", _width(content))


def files(record: dict[str, Any], folder: pathlib.Path) -> list[pathlib.Path]:
    """The files of the figures of a run, each in its folder, whatever its record says.

    A figure that was written in several forms, such as a PNG and a PDF, is all of them.
    """
    paths = [folder / figure["file"] for figure in record["figures"] if figure["file"]]
    every = (path.with_suffix(kind) for path in paths for kind in _KINDS)
    return list(dict.fromkeys(file for file in every if _is_within(file, folder)))


def beside(
    record: dict[str, Any], files: list[pathlib.Path], links: dict[pathlib.Path, str]
) -> Iterator[Drawing]:
    """Figures whose files lie beside a page.

    Args:
        record: which has titles and captions of its figures.
        files: see `files`.
        links: from the page to each file.
    """
    said = {
        pathlib.PurePath(figure["file"]).stem: figure for figure in record["figures"]
    }
    for file in files:
        if file.suffix in _SHOWN:
            texts = said.get(file.stem, {})
            title = str(texts.get("title") or file.stem.replace("_", " "))
            width = _width(file.read_bytes()[:24]) if file.suffix == ".png" else None
            yield Drawing(title, str(texts.get("caption") or ""), links[file], width)


def _width(content: bytes) -> int | None:
    if not content.startswith(_PNG):
        return None
    return round(int.from_bytes(content[_PNG_WIDTH]) / _PIXELS_PER_UNIT)


def _is_within(file: pathlib.Path, folder: pathlib.Path) -> bool:
    """Whether it is a file of the folder, links followed."""
    real = file.resolve()
    return real.is_file() and real.is_relative_to(folder.resolve())
