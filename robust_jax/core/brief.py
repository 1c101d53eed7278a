"""Records of arrays in short: their types and shapes, not their numbers."""

import html
from collections.abc import Mapping
from typing import Any

import numpy as np

_MANY = 8  # Items of a container that are shown, then how many more there are.


def brief(record: Any) -> str:
    """A named tuple or a dataclass as `repr` has it, arrays as float32[64, 28, 28].

    To be a class's `__repr__`.
    """
    shown = (f"{name}={shape_of(value)}" for name, value in _fields(record))
    return f"{type(record).__name__}({', '.join(shown)})"


def brief_html(record: Any) -> str:
    """The same as a table for a notebook, to be a class's `_repr_html_`."""
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th>"
        f'<td style="text-align: left">{html.escape(shape_of(value))}</td></tr>\n'
        for name, value in _fields(record)
    )
    name = html.escape(type(record).__name__)
    return f"<table>\n<caption>{name}</caption>\n<tbody>\n{rows}</tbody>\n</table>\n"


def shape_of(value: Any) -> str:
    """A value as `repr` has it, but of arrays, also in containers, type and shape.

    >>> rj.core.brief.shape_of({"kernel": np.zeros((3, 4)), "rate": 0.5})
    "{'kernel': float64[3, 4], 'rate': 0.5}"
    """
    if hasattr(value, "dtype") and getattr(value, "shape", None):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, Mapping):
        pairs = [f"{key!r}: {shape_of(item)}" for key, item in _first(value.items())]
        return f"{{{_joined(pairs, len(value))}}}"
    if type(value) in (list, tuple):
        items = _joined([shape_of(item) for item in _first(value)], len(value))
        if isinstance(value, list):
            return f"[{items}]"
        return f"({items},)" if len(value) == 1 else f"({items})"
    return repr(value)


def _fields(record: Any) -> list[tuple[str, Any]]:
    names = getattr(record, "_fields", None) or record.__dataclass_fields__
    public = (name for name in names if not name.startswith("_"))
    return [(name, getattr(record, name)) for name in public]


def _first(items: Any) -> list[Any]:
    return [item for _, item in zip(range(_MANY), items, strict=False)]


def _joined(texts: list[str], number: int) -> str:
    more = [f"... {number - len(texts)} more"] * (number > len(texts))
    return ", ".join([*texts, *more])
