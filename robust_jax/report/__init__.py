"""Figures, tables, pages and progress: what a person sees of a run.

`robust_jax.report.figures` and `plots` are imported on first use, since they bring
matplotlib.
"""

import importlib
from types import ModuleType

from robust_jax.core import extras
from robust_jax.report.page import PageTable, write_page
from robust_jax.report.progress import Progress, progress
from robust_jax.report.table import Column, fixed, for_terminal, format_table

__all__ = [
    "Column",
    "PageTable",
    "Progress",
    "figures",
    "fixed",
    "for_terminal",
    "format_table",
    "plots",
    "progress",
    "write_page",
]


def __getattr__(name: str) -> ModuleType:
    if name not in ("figures", "plots"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    extras.needed("matplotlib", "plots", f"report.{name}")
    return importlib.import_module(f"{__name__}.{name}")
