"""A graph of ONNX as a function of its weights and one example."""

import dataclasses
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.core.origin import Origin
from robust_jax.core.types import Array
from robust_jax.interop.onnx import (
    elementwise,
    layers,
    picking,
    reductions,
    resizing,
    shapes,
    windows,
)
from robust_jax.interop.onnx.values import (
    Call,
    Node,
    UnsupportedError,
    Value,
    in_a_line,
)

OPERATORS = {
    name: function
    for module in (elementwise, layers, picking, reductions, resizing, shapes, windows)
    for name, function in module.OPERATORS.items()
}
# Inputs that must be known while tracing, though they are floats.
SETTINGS = {"OneHot": (1,), "Pow": (1,), "Range": (0, 1, 2), "Resize": (1, 2)}

Weights = Mapping[str, Array]


@dataclasses.dataclass(frozen=True)
class Graph:
    """What a file says but for its weights; graphs of one digest are equal."""

    digest: str
    nodes: tuple[Node, ...] = dataclasses.field(compare=False, repr=False)
    constants: Mapping[str, np.ndarray] = dataclasses.field(compare=False, repr=False)
    input: str = dataclasses.field(compare=False)
    output: str = dataclasses.field(compare=False)
    opset: int = dataclasses.field(compare=False)

    def outputs(self, weights: Weights, batch: Array) -> Iterator[tuple[str, Value]]:
        """What the nodes give, in their order, of a batch.

        Raises: ValueError: a node that cannot be computed, and why.
        """
        dtype = batch.dtype
        known: dict[str, Value] = {"": None, self.input: batch}
        any_call = Call(self.nodes[0], self.opset, dtype)
        for name, value in [*self.constants.items(), *weights.items()]:
            known[name] = any_call.as_computed(value)
        for node in self.nodes:
            given = []
            for name in node.inputs:
                if name not in known:
                    raise ValueError(
                        f"{node} takes {name!r}, which no operator that is read gives"
                    )
                given.append(known[name])
            found = computed(Call(node, self.opset, dtype), given)
            for name, value in zip(node.outputs, found, strict=False):
                if name:
                    known[name] = value
                    yield name, value


def computed(call: Call, given: list[Value]) -> tuple[Value, ...]:
    """What a node gives of its inputs.

    Raises: ValueError: it cannot be computed.
    """
    try:
        found = OPERATORS[call.node.operator](call, *given)
        call.check_all_asked()
    except UnsupportedError as error:
        raise ValueError(f"{call.node} {error}") from error
    except Exception as error:  # Whatever NumPy and JAX say of shapes and types.
        shapes = [np.shape(value) for value in given if value is not None]
        raise ValueError(
            f"{call.node} cannot be computed of inputs of shape {shapes}: "
            f"{in_a_line(error)}"
        ) from error
    return found if isinstance(found, tuple) else (found,)


@dataclasses.dataclass(frozen=True)
class Apply:
    """A graph as a function of its weights and one example; equal graphs are equal."""

    graph: Graph
    origin: Origin

    def __call__(self, weights: Weights, x: Array) -> Array:
        """Logits, shape [K], of an example [*S]; floats are computed in its type."""
        x = jnp.asarray(x)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            x = x.astype(jnp.float32)
        # ONNX broadcasts, whatever the user asks of NumPy's functions.
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            found = dict(self.graph.outputs(weights, x[None]))[self.graph.output]
            return jnp.asarray(found)[0]
