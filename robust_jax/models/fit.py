"""Whether weights are those of a net."""

from collections.abc import Mapping
from typing import Any, cast

import flax.linen as nn
import numpy as np

from robust_jax.core import checks
from robust_jax.models import foreign, functional

Arrays = Mapping[str, np.ndarray]


def check_fit(
    source: str,
    module: foreign.Module,
    input_shape: tuple[int, ...],
    arrays: Arrays,
    options: Mapping[str, Any] | None = None,
) -> functional.Variables:
    """What the module would start from: variables, or their shapes and dtypes.

    Floats of another width are kept as they are; what is no float in the place of
    floats, or the other way round, is of another net.

    Args:
        options: of the call of a net from elsewhere; None of one of this library.
    Raises: ValueError: arrays that are not such.
    """
    if options is None:
        known = cast(nn.Module, module)
        start = functional.expected_variables(source, known, input_shape)
    else:
        start = foreign.expected(source, module, input_shape, options)
    fresh = foreign.named(start)
    expected, found = (
        {k: v.shape for k, v in some.items()} for some in (fresh, arrays)
    )
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ValueError(
                f"{source}; the weights {name} have shape {found.get(name)}, but "
                f"{type(module).__name__} on inputs {input_shape} expects "
                f"{expected.get(name)}; use the weights of this very net"
            )
    for name, array in arrays.items():
        if _kind(array.dtype) != _kind(fresh[name].dtype):
            raise ValueError(
                f"{source}; the weights {name} are {array.dtype}, but "
                f"{type(module).__name__} expects {fresh[name].dtype}; use the weights "
                "of this very net"
            )
    return start


def _kind(dtype: np.dtype) -> str:
    return "f" if checks.is_floating(dtype) else dtype.kind
