"""Pages of the documentation in Markdown, which commands write."""

import pathlib
from collections.abc import Iterable, Sequence

from absl import flags

from robust_jax.core import records

MARKDOWN = flags.DEFINE_string("markdown", None, "The page in Markdown to write.")


def write(path: records.PathLike, text: str) -> None:
    """Writes a page, whole or not at all, and prints where."""
    records.prepare_out_dir(pathlib.Path(path).parent)
    with records.atomic_path(path) as temporary:
        pathlib.Path(temporary).write_text(text)
    print(f"wrote {path}")


def table(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    every = [titles, ["---"] * len(titles), *lines]
    return "".join(f"| {' | '.join(map(_escaped, cells))} |\n" for cells in every)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
