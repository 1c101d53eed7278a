"""Figures as files, of the kind that the ending says: PNG, SVG, PDF, PGF.

Importing this module imports matplotlib; importing `robust_jax.report` does not.
"""

import io
import os
import pathlib
import threading
from typing import Any
from unittest import mock

import matplotlib
from matplotlib.backend_bases import RendererBase
from matplotlib.backends import backend_pgf
from matplotlib.figure import Figure

from robust_jax.core import records
from robust_jax.report.escaping import latex

_METADATA: dict[str, dict[str, None]] = {  # Neither dates nor versions.
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
ENDINGS = (*_METADATA, ".pgf")
_SETTINGS: Any = {
    "pdf.fonttype": 42,  # TrueType: venues refuse Type 3.
    "pgf.preamble": "",
    "pgf.rcfonts": False,  # The document's fonts.
    "svg.hashsalt": "robust_jax",  # Else names of clips are drawn at random.
}

_LOCK = threading.Lock()  # Of Matplotlib's renderer, which is exchanged for ours.


def ending_of(path: records.PathLike) -> str:
    """The ending of a figure's file.

    Raises: ValueError: another one than those of `ENDINGS`.
    """
    ending = pathlib.Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(
            f"path={os.fspath(path)}; expected a name that ends in "
            f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
        )
    return ending


def write(figure: Figure, path: records.PathLike) -> None:
    """Writes a figure, whole or not at all; equal figures give equal bytes.

    PGF is for LaTeX (`input`), whose fonts it takes; none is needed to write it, and
    text is set as it stands.
    Raises: ValueError: another ending; PGF of a figure that holds images.
    """
    ending = ending_of(path)
    with matplotlib.rc_context(_SETTINGS), records.atomic_path(path) as temporary:
        if ending == ".pgf":
            temporary.write_text(_pgf(figure, path), encoding="utf-8")
        else:
            metadata: Any = _METADATA[ending]
            figure.savefig(temporary, format=ending[1:], metadata=metadata)


class _Renderer(backend_pgf.RendererPgf):
    """Sizes text without LaTeX, and takes no text for commands."""

    def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
        super().draw_text(gc, x, y, latex(s), prop, angle, ismath, mtext)

    def draw_image(self, *given: Any, **more: Any) -> None:
        raise _ImageError

    def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> Any:
        return RendererBase.get_text_width_height_descent(self, s, prop, ismath)


class _ImageError(Exception):
    """The figure holds an image."""


def _pgf(figure: Figure, path: records.PathLike) -> str:
    stream = io.StringIO()
    try:
        with _LOCK, mock.patch.object(backend_pgf, "RendererPgf", _Renderer):
            figure.savefig(stream, format="pgf", backend="pgf")
    except _ImageError:
        raise ValueError(
            f"path={os.fspath(path)}; PGF holds lines and text, and this figure has "
            "images; write .pdf"
        ) from None
    return stream.getvalue()
