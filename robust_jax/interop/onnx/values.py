"""What operators of a graph are given: values, attributes, and how to refuse them.

Values that depend on shapes alone stay NumPy arrays, so that what graphs calculate of
shapes is known while they are traced. All others are arrays of JAX.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Value = Any  # A NumPy array where it is known, an array of JAX where it is not.
_MISSING = object()
_LONGEST = 300  # Characters of what others say.

# The numbers of ONNX's TensorProto.DataType.
_DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}

# Attributes that say what is known otherwise, or nothing of what is computed here.
_HARMLESS = {
    "axes",  # Of an input too, which goes first.
    "beta",  # Of a summand that may be missing.
    "cubic_coeff_a",
    "exclude_outside",
    "extrapolation_value",
    "kernel_shape",
    "kv_num_heads",
    "momentum",
    "nearest_mode",
    "pads",  # A name of the padding goes first.
    "q_num_heads",
    "qk_matmul_output_mode",
    "ratio",
    "round_mode",
    "saturate",
    "seed",
    "softmax_precision",
    "sorted",  # As ours always are.
    "stash_type",
}


def in_a_line(error: Exception) -> str:
    """What an error of another library says, as a sentence may hold it."""
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


class UnsupportedError(ValueError):
    """What an operator does not know; the message goes on "node ... "."""


@dataclasses.dataclass(frozen=True)
class Node:
    """One operator of a graph; a name that is empty is an input that is left out."""

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"node {self.name or self.outputs[0]!r} ({self.operator})"


@dataclasses.dataclass(frozen=True)
class Call:
    """A node in a program: its attributes, and what operators are computed in.

    Args:
        opset: version of the operators.
        dtype: of all floats, that of the images.
        asked: the attributes that an operator has looked at.
    """

    node: Node
    opset: int
    dtype: Any
    asked: set[str] = dataclasses.field(default_factory=set)

    def attribute(self, name: str, default: Any = _MISSING) -> Any:
        """Raises UnsupportedError: it has none, and there is no default."""
        self.asked.add(name)
        found = self.node.attributes.get(name, default)
        if found is _MISSING:
            raise UnsupportedError(f"has no attribute {name!r}, which it needs")
        return found

    def only(self, name: str, default: Any, *supported: Any) -> Any:
        """An attribute that has few values; others are refused by name."""
        found = self.attribute(name, default)
        if found not in supported:
            known = " and ".join(repr(value) for value in supported)
            raise UnsupportedError(f"has {name}={found!r}; supported: {known}")
        return found

    def check_all_asked(self) -> None:
        """Raises UnsupportedError: an attribute that might change what is computed."""
        unread = set(self.node.attributes) - self.asked - _HARMLESS
        if unread:
            name = min(unread)
            value = self.node.attributes[name]
            raise UnsupportedError(f"has {name}={value!r}, which is not read")

    def as_computed(self, value: Value) -> Value:
        """Floats in the type that is computed in, all else as it is."""
        if jnp.issubdtype(value.dtype, jnp.floating):
            return value.astype(self.dtype)
        return value

    def dtype_of(self, number: int) -> Any:
        """The type of that number in ONNX; all floats are the one computed in."""
        if number not in _DTYPES:
            raise UnsupportedError(f"makes values of ONNX's type {number}")
        dtype = jnp.dtype(_DTYPES[number])
        return self.dtype if jnp.issubdtype(dtype, jnp.floating) else dtype


def is_known(*values: Value) -> bool:
    """Whether all are known while tracing; one left out is."""
    return all(v is None or isinstance(v, np.ndarray | np.generic) for v in values)


def library(*values: Value) -> Any:
    """NumPy where all values are known, else `jax.numpy`."""
    return np if is_known(*values) else jnp


def known(value: Value, what: str) -> np.ndarray:
    """Raises UnsupportedError: a value that depends on the images or the weights."""
    if not is_known(value):
        raise UnsupportedError(
            f"takes its {what} from values of the images or weights; supported: from "
            "shapes and constants"
        )
    return np.asarray(value)


def integers(value: Value, what: str) -> tuple[int, ...]:
    """A known list of integers."""
    return tuple(int(number) for number in known(value, what).reshape(-1))


def cast(value: Value, dtype: Any) -> Value:
    """The value in a type; integers of 64 bits only where JAX has them."""
    if is_known(value):
        return np.asarray(value).astype(dtype)
    return value.astype(jax.dtypes.canonicalize_dtype(dtype))
