"""Tables as wide as the terminal: what all rows share is said once, texts wrap."""

import dataclasses
import textwrap
from collections.abc import Iterable, Sequence

_GAP = "  "
_LEAST = 8  # Of a column whose texts are wrapped.


@dataclasses.dataclass(frozen=True)
class Cells:
    """A table as text: what every renderer starts from."""

    titles: tuple[str, ...]
    numeric: tuple[bool, ...]  # set right-aligned
    lines: tuple[tuple[str, ...], ...]


def laid_out(cells: Cells, width: int | None) -> str:
    """The table as plain text of at most `width` columns, if that can be had.

    Too wide a table has what all its rows share on top, then its headings and texts
    wrapped. Numbers are never cut: a table may still be wider.

    Args:
        cells: of the table.
        width: None for any.
    """
    top = ""
    if width is not None and _width(_natural(cells)) > width:
        top, cells = _lifted(cells, width)
    widths = _natural(cells)
    if width is not None:
        widths = _narrowed(cells, widths, width)
    table = [_wrapped(cells.titles, widths), [["-" * w] for w in widths]]
    table += [_wrapped(line, widths) for line in cells.lines]
    lines = [_line(row, widths, cells.numeric) for row in table]
    return "\n".join([top, *lines] if top else lines)


def _natural(cells: Cells) -> list[int]:
    return [max(map(len, column)) for column in _columns(cells)]


def _columns(cells: Cells) -> list[tuple[str, ...]]:
    return list(zip(cells.titles, *cells.lines, strict=True))


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _lifted(cells: Cells, width: int) -> tuple[str, Cells]:
    """What all rows share, as a text, and the cells without it."""
    same = [len(set(column[1:])) == 1 for column in _columns(cells)]
    if len(cells.lines) < 2 or all(same):
        return "", cells
    said = [
        f"{title}: {text}"
        for title, text, is_same in zip(cells.titles, cells.lines[0], same, strict=True)
        if is_same
    ]
    kept = [k for k, is_same in enumerate(same) if not is_same]

    def of(values: Sequence) -> tuple:
        return tuple(values[k] for k in kept)

    rest = Cells(of(cells.titles), of(cells.numeric), tuple(map(of, cells.lines)))
    return textwrap.fill("; ".join(said), width, break_on_hyphens=False), rest


def _narrowed(cells: Cells, widths: list[int], width: int) -> list[int]:
    """Widths that fit: the widest column that can wrap gives way, again and again.

    Words are cut where that is not enough, numbers never.
    """
    sides = list(zip(_columns(cells), cells.numeric, strict=True))
    for least in (
        [_longest(_words(column, right)) for column, right in sides],
        [_longest(column[1:]) if right else _LEAST for column, right in sides],
    ):
        while _width(widths) > width:
            able = [k for k, least_of in enumerate(least) if widths[k] > least_of]
            if not able:
                break
            widths[max(able, key=lambda k: widths[k])] -= 1
    return widths


def _longest(texts: Iterable[str]) -> int:
    return max(map(len, texts), default=0)


def _words(column: tuple[str, ...], is_number: bool) -> list[str]:
    title, *texts = column
    rest = texts if is_number else [word for text in texts for word in text.split()]
    return [*title.split(), *rest]


def _wrapped(texts: Sequence[str], widths: Sequence[int]) -> list[list[str]]:
    return [
        textwrap.wrap(text, max(width, 1), break_on_hyphens=False) or [""]
        for text, width in zip(texts, widths, strict=True)
    ]


def _line(
    row: Sequence[list[str]], widths: Sequence[int], numeric: Sequence[bool]
) -> str:
    height, lines = max(map(len, row), default=1), []
    for k in range(height):
        parts = [cell[k] if k < len(cell) else "" for cell in row]
        sides = zip(parts, widths, numeric, strict=True)
        text = _GAP.join(p.rjust(w) if right else p.ljust(w) for p, w, right in sides)
        lines.append(text.rstrip())
    return "\n".join(lines)
