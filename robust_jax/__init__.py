"""Adversarial attacks, robust training and honest evaluation in JAX.

Packages load on first use: `import robust_jax as rj` costs nothing until `rj.threats`.
"""

import importlib
from typing import TYPE_CHECKING, Any

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
    )
    from robust_jax.core.caching import compile_cache as compile_cache
    from robust_jax.evaluate.batch import attack as attack
    from robust_jax.interop.loading import load_model as load_model

__version__: str  # Of the metadata in setup.cfg.
_UNKNOWN = "0+not.installed"  # A source tree has no metadata: `pip install -e .`.

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
)
_FUNCTIONS = {
    "attack": ".evaluate.batch",
    "compile_cache": ".core.caching",
    "load_model": ".interop.loading",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(__name__ + _FUNCTIONS[name]), name)
    if name not in _PACKAGES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def _version() -> str:
    metadata = importlib.import_module("importlib.metadata")
    try:
        return metadata.version(__name__)
    except metadata.PackageNotFoundError:
        return _UNKNOWN


def __dir__() -> list[str]:
    return ["__version__", *_FUNCTIONS, *_PACKAGES]
