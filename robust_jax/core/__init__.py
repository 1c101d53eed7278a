"""Layer 0: the contract of an attack, and what turns one example into many.

Modules load on first use, so that naming examples (`core.ids`) does not load JAX.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robust_jax.core import (
        caching as caching,
        checks as checks,
        compilation as compilation,
        compiling as compiling,
        drive as drive,
        exports as exports,
        factories as factories,
        flops as flops,
        ids as ids,
        incumbent as incumbent,
        lift as lift,
        margin as margin,
        memo as memo,
        metrics as metrics,
        records as records,
        types as types,
    )

_MODULES = (
    "caching",
    "checks",
    "compilation",
    "compiling",
    "drive",
    "exports",
    "factories",
    "flops",
    "ids",
    "incumbent",
    "lift",
    "margin",
    "memo",
    "metrics",
    "records",
    "types",
)


def __getattr__(name: str) -> ModuleType:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
