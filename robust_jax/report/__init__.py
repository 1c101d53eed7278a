"""Figures, tables, pages and progress: what a person sees of a run.

`robust_jax.report.figure`, `figures` and `plots` are imported on first use, since they
bring matplotlib.
"""

import importlib
from typing import Any

from robust_jax.core import extras
from robust_jax.report.page import PageFigure, PageTable, write_page
from robust_jax.report.progress import Progress, progress
from robust_jax.report.reading import read
from robust_jax.report.results import ResultsTable, results_table
from robust_jax.report.saving import write_run
from robust_jax.report.site.build import site
from robust_jax.report.table import Column, fixed, for_terminal, format_table

__all__ = [
    "Column",
    "PageFigure",
    "PageTable",
    "Progress",
    "ResultsTable",
    "figure",
    "figures",
    "fixed",
    "for_terminal",
    "format_table",
    "no_figures",
    "plots",
    "progress",
    "read",
    "results_table",
    "site",
    "write_page",
    "write_run",
]


def no_figures() -> str | None:
    """Why no figure can be drawn, in a sentence; None if they can."""
    try:
        extras.needed("matplotlib", "plots", "a figure")
    except ImportError as error:
        return f"No figures: {error}."
    return None


def __getattr__(name: str) -> Any:
    if name not in ("figure", "figures", "plots"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    extras.needed("matplotlib", "plots", f"report.{name}")
    if name == "figure":
        return importlib.import_module(f"{__name__}.paper").figure
    return importlib.import_module(f"{__name__}.{name}")
