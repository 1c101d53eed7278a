"""Weights of a file put into a module of PyTorch, all of them or none."""

from typing import Any

import numpy as np

from robust_jax.core import checks
from robust_jax.core.extras import needed
from robust_jax.interop.torch_files import fitted, read_state_dict
from robust_jax.interop.torch_structure import name_of


def load_torch_weights(module: Any, path: Any, *, entry: str | None = None) -> None:
    """Fills a module with the weights of a file; see `read_state_dict`.

    Words that wrappers put before all names (`module.`, `model.`) are stripped, or
    added, when the names then are those of the module.
    Guarantees: strict: every weight has a place and every place a weight, of its shape;
    else the module stays as it is.

    Args:
        module: of PyTorch; its device, types and mode stay.
        path, entry: as in `read_state_dict`.
    Raises: TypeError: no module. ValueError: the first name or shape that differs.
        Those of `read_state_dict`.
    """
    torch = needed("torch", "torch", "interop.load_torch_weights")
    checks.instance("module", module, torch.nn.Module, "a torch.nn.Module")
    places = module.state_dict()
    try:
        state = fitted(read_state_dict(path, entry=entry), places)
    except ValueError as error:
        told = "" if f"path={path}" in str(error) else f"path={path}; "
        raise ValueError(f"{told}{error}") from error
    for name, value in state.items():
        if value.shape != tuple(places[name].shape):
            raise ValueError(
                f"path={path}; the weights have {name!r} of shape {value.shape}, and "
                f"module={name_of(module)} of shape {tuple(places[name].shape)}; "
                "expected those of the same architecture"
            )
    with torch.no_grad():
        for name, value in state.items():
            number = value if value.dtype.kind in "biuf" else value.astype(np.float32)
            places[name].copy_(torch.from_numpy(np.array(number)))
