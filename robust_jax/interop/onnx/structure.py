"""What an ONNX model says: its structure, and its weights beside it."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from robust_jax.core import checks
from robust_jax.interop.onnx.files import input_of
from robust_jax.interop.onnx.graph import OPERATORS, SETTINGS, Graph
from robust_jax.interop.onnx.values import Node

OLDEST, NEWEST = 11, 23  # Versions of the operators that are read.
_CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")


def graph_of(model: Any) -> tuple[Graph, dict[str, np.ndarray]]:
    """The structure of a classifier, and its weights by name.

    Raises: ValueError: what is not read, the first of it by name.
    """
    given = input_of(model)
    if len(model.graph.output) != 1:
        names = [output.name for output in model.graph.output]
        raise ValueError(f"the graph has the outputs {names}; expected one, the logits")
    return structure_of(model, given.name, model.graph.output[0].name)


def structure_of(
    model: Any, given: str, result: str
) -> tuple[Graph, dict[str, np.ndarray]]:
    """The same of any graph from one value to another.

    Raises: ValueError: what is not read, the first of it by name.
    """
    import onnx.inliner

    _check_domains(model)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    opset = _opset(model)
    nodes = [node_of(n) for n in model.graph.node if n.op_type != "Constant"]
    if not any(result in node.outputs for node in nodes):
        raise ValueError(f"no operator of the graph gives its output {result!r}")
    settings = {
        node.inputs[place]
        for node in nodes
        for place in SETTINGS.get(node.operator, ())
        if place < len(node.inputs)
    }
    constants: dict[str, np.ndarray] = {}
    weights: dict[str, np.ndarray] = {}
    for name, value, is_weight in _arrays(model):
        floats = checks.is_floating(value.dtype)
        target = weights if floats and is_weight and name not in settings else constants
        target[name] = value
    text = (opset, given, result, nodes, sorted(weights), _texts(constants))
    digest = hashlib.sha256(repr(text).encode()).hexdigest()
    return Graph(digest, tuple(nodes), constants, given, result, opset), weights


def _check_domains(model: Any) -> None:
    local = {function.domain for function in model.functions}
    foreign = sorted(
        f"{node.domain}.{node.op_type}"
        for node in model.graph.node
        if node.domain not in ("", "ai.onnx", *local)
    )
    if foreign:
        raise ValueError(
            f"the graph has the operator {foreign[0]}, which is of another domain than "
            "ai.onnx; export without it"
        )


def _opset(model: Any) -> int:
    opset = next((o.version for o in model.opset_import if not o.domain), 0)
    if not OLDEST <= opset <= NEWEST:
        raise ValueError(
            f"the graph is of opset {opset}; read are {OLDEST} to {NEWEST}; export "
            "with one of these, or convert by onnx.version_converter"
        )
    return opset


def node_of(proto: Any) -> Node:
    """An operator as data.

    Raises: ValueError: one that is not read.
    """
    attributes = {a.name: _attribute(a) for a in proto.attribute if not a.HasField("g")}
    node = Node(
        proto.op_type, proto.name, tuple(proto.input), tuple(proto.output), attributes
    )
    if node.operator in _CONTROL_FLOW:
        raise ValueError(
            f"{node} is control flow, which is not read; export a graph without it, or "
            "take interop.from_host"
        )
    if node.operator not in OPERATORS:
        raise ValueError(
            f"{node} is of an operator that is not read; read are "
            f"{', '.join(sorted(OPERATORS))}"
        )
    return node


def _attribute(proto: Any) -> Any:
    import onnx

    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    if isinstance(value, bytes):
        return value.decode()
    return tuple(value) if isinstance(value, Iterable) else value


def _arrays(model: Any) -> Iterable[tuple[str, np.ndarray, bool]]:
    """Names and values of a model, and whether training may have made them.

    Constants of one number belong to the structure, initialisers do not.
    """
    import onnx

    for tensor in model.graph.initializer:
        yield tensor.name, onnx.numpy_helper.to_array(tensor), True
    for proto in model.graph.node:
        if proto.op_type == "Constant":
            value = np.asarray(_attribute(proto.attribute[0]))
            if value.dtype == np.float64 and proto.attribute[0].name != "value":
                value = value.astype(np.float32)
            yield proto.output[0], value, value.size > 1


def _texts(constants: dict[str, np.ndarray]) -> list[Any]:
    return [
        (name, str(value.dtype), value.shape, value.tobytes())
        for name, value in sorted(constants.items())
    ]
