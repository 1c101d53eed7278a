"""Results in HTML, for notebooks; all text is escaped, no script."""

import html
from collections.abc import Sequence

from robust_jax.report.table import Column, Row, make_cells

# A notebook has no style of ours, and puts all on the right.
_RIGHT, _LEFT = (f' style="text-align: {side}"' for side in ("right", "left"))


def table(rows: Sequence[Row], columns: Sequence[Column] | None = None) -> str:
    """Rows as a table; all their keys by default."""
    cells = make_cells(rows, columns)
    sides = [_RIGHT if right else _LEFT for right in cells.numeric]

    def line(tag: str, texts: Sequence[str]) -> str:
        inner = "".join(
            f"<{tag}{side}>{html.escape(text)}</{tag}>"
            for text, side in zip(texts, sides, strict=True)
        )
        return f"<tr>{inner}</tr>\n"

    head = line("th", cells.titles)
    body = "".join(line("td", texts) for texts in cells.lines)
    return f"<table>\n<thead>\n{head}</thead>\n<tbody>\n{body}</tbody>\n</table>\n"


def notebook(
    verdict: str,
    rows: Sequence[Row],
    columns: Sequence[Column] | None = None,
    lines: Sequence[str] = (),
) -> str:
    """What a notebook shows of a result: the verdict, its table, and further lines.

    >>> shown = rj.report.markup.notebook("<b>", [{"n": 1}], lines=["a & b"])
    >>> "&lt;b&gt;" in shown, "a &amp; b" in shown
    (True, True)
    """
    below = "".join(f"<p>{html.escape(line)}</p>\n" for line in lines)
    cells = table(rows, columns) if rows else ""
    return (
        f"<div>\n<p><strong>{html.escape(verdict)}</strong></p>\n{cells}{below}</div>\n"
    )
