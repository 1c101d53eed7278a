"""A graph as verifiers like it: shapes are constants where the batch alone is free."""

from typing import Any

import numpy as np

from robust_jax.interop.onnx import structure
from robust_jax.interop.onnx.graph import OPERATORS, computed
from robust_jax.interop.onnx.pools import with_image_pools
from robust_jax.interop.onnx.products import with_matrix_products
from robust_jax.interop.onnx.values import Call


def tidy(model: Any) -> Any:
    """The same graph, in which what is known is calculated.

    jax2onnx looks up the batch size for every new shape, which -1 says as well; what is
    calculated of weights alone, such as a transpose, is another weight.

    Args:
        model: a `ModelProto`; a changed copy comes back.
    """
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    tensors = copy.graph.initializer
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in tensors}
    nodes = with_image_pools(list(copy.graph.node), constants)
    nodes = with_matrix_products(nodes, constants)
    made_by = {name: node for node in nodes for name in node.output}
    sides, renamed = _sides(copy), dict[str, str]()
    for node in nodes:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
        known = _known(node, constants)
        if known is not None:
            constants[node.output[0]] = known
        elif node.op_type in ("Reshape", "Expand"):
            new = _shape_of_free_batch(node, made_by, constants)
            if new is not None and node.op_type == "Reshape":
                _skip_reshape(node, made_by)
            if new is not None and sides.get(node.input[0]) == (None, *new):
                renamed[node.output[0]] = node.input[0]
    _keep_what_is_used(copy, nodes, constants)
    return copy


def _known(node: Any, constants: dict[str, np.ndarray]) -> np.ndarray | None:
    """What a node gives of constants alone, unless that takes more room."""
    given = [constants[name] for name in node.input if name in constants]
    if not given or len(given) != len(node.input) or len(node.output) != 1:
        return None
    if node.op_type not in OPERATORS:
        return None
    call = Call(structure.node_of(node), structure.NEWEST, np.dtype(np.float32))
    try:
        value = np.asarray(computed(call, given)[0])
    except ValueError:  # What is not read stays as it is.
        return None
    return value if value.size <= sum(np.size(v) for v in given) else None


def _sides(model: Any) -> dict[str, tuple[int | None, ...]]:
    """Shapes of values; None for what is free."""
    values = [*model.graph.input, *model.graph.value_info]
    return {
        value.name: tuple(
            side.dim_value if side.HasField("dim_value") else None
            for side in value.type.tensor_type.shape.dim
        )
        for value in values
    }


def _shape_of_free_batch(
    node: Any, made_by: dict[str, Any], constants: dict[str, np.ndarray]
) -> tuple[int, ...] | None:
    """The sides after the first, where that alone is calculated: it is the batch.

    The shape becomes a constant: a reshape calculates the first side itself, and an
    expansion keeps that of its input, whose rank is the same.
    """
    shape = made_by.get(node.input[1])
    if shape is None or shape.op_type != "Concat":
        return None
    first, *others = shape.input
    if first in constants or not all(name in constants for name in others):
        return None
    rest = [int(side) for name in others for side in constants[name].reshape(-1)]
    before = made_by.get(node.input[0])
    if node.op_type == "Expand":
        if before is None or before.op_type != "Reshape":
            return None
        old = constants.get(before.input[1])
        if old is None or len(old) != 1 + len(rest) or old[0] != -1:
            return None
    name = f"{node.output[0]}_shape"
    start = -1 if node.op_type == "Reshape" else 1
    constants[name] = np.array([start, *rest], np.int64)
    node.input[1] = name
    return tuple(rest)


def _skip_reshape(node: Any, made_by: dict[str, Any]) -> None:
    """A reshape of a reshape is one of what that was given."""
    before = made_by.get(node.input[0])
    if before is not None and before.op_type == "Reshape":
        node.input[0] = before.input[0]


def _taken(node: Any) -> set[str]:
    """The values that a node takes, within loops and branches too."""
    inner = [n for a in node.attribute if a.HasField("g") for n in a.g.node]
    return set(node.input).union(*map(_taken, inner))


def _keep_what_is_used(
    model: Any, nodes: list[Any], constants: dict[str, np.ndarray]
) -> None:
    """Without nodes that nothing asks for; constants are written anew."""
    import onnx

    graph = model.graph
    wanted = {value.name for value in graph.output}
    kept = []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.output) and node.output[0] not in constants:
            kept.append(node)
            wanted.update(_taken(node))
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in reversed(kept)]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(copies)
    graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(value, order="C"), name)
        for name, value in constants.items()
        if name in wanted
    )
