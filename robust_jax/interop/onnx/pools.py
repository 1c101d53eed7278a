"""Pooling as runtimes know it: two directions of an image, channels first.

jax2onnx writes a window that slides over all axes of a value, which no runtime takes
for four axes: between two Unsqueeze and a Squeeze a MaxPool, or of a sum a Conv whose
kernel is ones.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np


def with_image_pools(nodes: list[Any], constants: dict[str, np.ndarray]) -> list[Any]:
    """The same nodes, in which pooling slides over two axes.

    Args:
        nodes: `NodeProto`s in their order.
        constants: initialisers by name; what becomes of sums is added.
    """
    made_by = {name: node for node in nodes for name in node.output}
    squeezed = {node.input[0]: node for node in nodes if node.op_type == "Squeeze"}
    changed, gone = [], set()
    for node in nodes:
        source = _source(node, made_by)
        after = squeezed.get(node.output[0])
        sides = _sides(node, constants)
        if source is None or after is None or sides is None:
            changed.append(node)
        else:
            changed += _image_pool(node, source, after.output[0], sides, constants)
            gone.add(after.output[0])
    return [
        node
        for node in changed
        if node.op_type != "Squeeze" or node.output[0] not in gone
    ]


def _source(node: Any, made_by: dict[str, Any]) -> str | None:
    """What two Unsqueeze before a node were given."""
    name = node.input[0] if node.input else ""
    for _ in range(2):
        before = made_by.get(name)
        if before is None or before.op_type != "Unsqueeze":
            return None
        name = before.input[0]
    return name


def _sides(node: Any, constants: dict[str, np.ndarray]) -> tuple[int, ...] | None:
    """Of the window along four axes; None of what slides over others."""
    if node.op_type == "MaxPool":
        sides = tuple(_integers(node, "kernel_shape", ()))
    elif node.op_type == "Conv" and len(node.input) == 2:
        kernel = constants.get(node.input[1])
        if kernel is None or kernel.shape[:2] != (1, 1) or not (kernel == 1).all():
            return None
        sides = kernel.shape[2:]
    else:
        return None
    return sides if len(sides) == 4 and sides[0] == 1 else None


def _integers(node: Any, name: str, default: Any) -> Any:
    return next((tuple(a.ints) for a in node.attribute if a.name == name), default)


def _image_pool(
    node: Any,
    source: str,
    result: str,
    sides: tuple[int, ...],
    constants: dict[str, np.ndarray],
) -> Iterator[Any]:
    from onnx import helper

    strides = _integers(node, "strides", (1,) * 4)
    pads = _integers(node, "pads", (0,) * 8)
    dilations = _integers(node, "dilations", (1,) * 4)
    plain = [a for a in (1, 2, 3) if sides[a] == strides[a] == 1]
    channels = plain[-1] if plain else 3  # A third direction would fail to verify.
    places = [axis for axis in (1, 2, 3) if axis != channels]
    order = [0, channels, *places]
    images, pooled, scaled = (f"{result}_{name}" for name in ("nchw", "pool", "sum"))
    is_sum = node.op_type == "Conv"
    options = {"count_include_pad": 1} if is_sum else {}
    yield helper.make_node("Transpose", [source], [images], perm=order)
    yield helper.make_node(
        "AveragePool" if is_sum else "MaxPool",
        [images],
        [pooled],
        kernel_shape=[sides[a] for a in places],
        strides=[strides[a] for a in places],
        dilations=[dilations[a] for a in places],
        pads=[*(pads[a] for a in places), *(pads[4 + a] for a in places)],
        **options,
    )
    if is_sum:
        constants[f"{scaled}_count"] = np.array(np.prod(sides), np.float32)
        yield helper.make_node("Mul", [pooled, f"{scaled}_count"], [scaled])
    back = [int(place) for place in np.argsort(order)]
    given = scaled if is_sum else pooled
    yield helper.make_node("Transpose", [given], [result], perm=back)
