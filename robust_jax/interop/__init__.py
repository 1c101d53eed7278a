"""Other people's nets as functions that the library attacks; imported on use."""

from robust_jax.interop.declared import channels_first, channels_last, despite_parity
from robust_jax.interop.equinox import from_equinox
from robust_jax.interop.haiku import from_haiku
from robust_jax.interop.host import from_host
from robust_jax.interop.layout import per_example
from robust_jax.interop.linen import from_linen
from robust_jax.interop.native import load_native
from robust_jax.interop.nnx import from_nnx
from robust_jax.interop.normalised import normalised
from robust_jax.interop.onnx.reading import from_onnx
from robust_jax.interop.onnx.writing import to_onnx
from robust_jax.interop.sklearn import from_sklearn
from robust_jax.interop.torch_attacks import torch_attack
from robust_jax.interop.torch_files import read_state_dict
from robust_jax.interop.torch_host import wrap_torch
from robust_jax.interop.torch_modules import from_torch
from robust_jax.interop.torch_weights import load_torch_weights

__all__ = [
    "channels_first",
    "channels_last",
    "despite_parity",
    "from_equinox",
    "from_haiku",
    "from_host",
    "from_linen",
    "from_nnx",
    "from_onnx",
    "from_sklearn",
    "from_torch",
    "load_native",
    "load_torch_weights",
    "normalised",
    "per_example",
    "read_state_dict",
    "to_onnx",
    "torch_attack",
    "wrap_torch",
]
