"""Other people's nets as functions that the library attacks; imported on use."""

from robust_jax.interop.host import from_host
from robust_jax.interop.layout import per_example
from robust_jax.interop.linen import from_linen
from robust_jax.interop.native import load_native
from robust_jax.interop.nnx import from_nnx
from robust_jax.interop.sklearn import from_sklearn
from robust_jax.interop.torch_files import read_state_dict

__all__ = [
    "from_host",
    "from_linen",
    "from_nnx",
    "from_sklearn",
    "load_native",
    "per_example",
    "read_state_dict",
]
