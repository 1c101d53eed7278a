"""Adversarial attacks, robust training and honest evaluation in JAX.

Packages load on first use: `import robust_jax as rj` costs nothing until `rj.threats`.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robust_jax import (
        analysis as analysis,
        attacks as attacks,
        core as core,
        datasets as datasets,
        evaluate as evaluate,
        interop as interop,
        losses as losses,
        models as models,
        optim as optim,
        report as report,
        threats as threats,
        train as train,
        words as words,
    )

__version__ = "0.1.0"

_PACKAGES = (
    "analysis",
    "attacks",
    "core",
    "datasets",
    "evaluate",
    "interop",
    "losses",
    "models",
    "optim",
    "report",
    "threats",
    "train",
    "words",
)


def __getattr__(name: str) -> ModuleType:
    if name not in _PACKAGES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return ["__version__", *_PACKAGES]
