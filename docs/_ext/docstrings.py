"""Docstrings of this library as reStructuredText: prose with code in back quotes.

What stands in back quotes becomes a link where it names something public, and code
otherwise; `Guarantees:`, `Edge cases:` and the like, which go on behind the colon with
a hanging indent, become paragraphs; nothing else of the text is markup.
"""

import re
from collections.abc import Callable, Iterator
from itertools import groupby

_HEADS = "Guarantees|Edge cases|Args|Returns|Raises|References"
_HEAD = re.compile(rf"^({_HEADS}): (\S.*)$")
_CODE = re.compile(r"`([^`]+)`")
_MARKUP = re.compile(r"(?<!^)\*|^\*(?! )|[|\\]|(?<=\w)_(?!\w)", re.MULTILINE)

Address = Callable[[str], str | None]


def as_rst(lines: list[str], address: Address) -> list[str]:
    """The docstring's lines with names linked and what is no markup escaped.

    Args:
        address: of a name as it is written the one it is documented under, or None.
    """
    shown: list[str] = []
    for is_example, block in groupby(zip(_examples(lines), lines, strict=True), _first):
        text = [line for _, line in block]
        shown += ["", *text] if is_example else _prose(text, address)
    return shown


def _first(pair: tuple[bool, str]) -> bool:
    return pair[0]


def _examples(lines: list[str]) -> Iterator[bool]:
    """Whether each line is of an example: from its first >>> to an empty line."""
    inside = False
    for line in lines:
        inside = bool(line.strip()) and (inside or line.lstrip().startswith(">>>"))
        yield inside


def _prose(lines: list[str], address: Address) -> list[str]:
    parts = _CODE.split("\n".join(lines))
    text = _MARKUP.sub(r"\\\g<0>", parts[0])
    for code, prose in zip(parts[1::2], parts[2::2], strict=True):
        text += r"\ " if text[-1:].isalnum() else ""
        text += _quoted(re.sub(r"\s*\n\s*", " ", code), address)
        text += r"\ " if prose[:1].isalnum() else ""
        text += _MARKUP.sub(r"\\\g<0>", prose)
    return list(_unhung(text.split("\n")))


def _quoted(code: str, address: Address) -> str:
    found = address(code)
    return f"``{code}``" if found is None else f":py:obj:`{code} <{found}>`"


def _unhung(lines: list[str]) -> Iterator[str]:
    """`References: text` and its indented lines as a paragraph with a bold start."""
    hangs = False
    for line in lines:
        found = _HEAD.match(line)
        if found:
            yield ""
            yield f"**{found[1]}.** {found[2]}"
        hangs = bool(found) or (hangs and line.startswith(" "))
        if not found:
            yield line.strip() if hangs else line
