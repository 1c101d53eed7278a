"""Dense layers as verifiers know them: MatMul with a matrix in place of Einsum."""

from collections.abc import Iterator
from typing import Any

import numpy as np


def with_matrix_products(
    nodes: list[Any], constants: dict[str, np.ndarray]
) -> list[Any]:
    """The same nodes, in which a value's last axes times weights are MatMul.

    Args:
        nodes: `NodeProto`s in their order.
        constants: initialisers by name; matrices and shapes are added.
    """
    changed: list[Any] = []
    for node in nodes:
        axes = _axes(node, constants)
        changed += [node] if axes is None else _product(node, *axes, constants)
    return changed


def _axes(node: Any, constants: dict[str, np.ndarray]) -> tuple[int, int] | None:
    """How many axes stay and how many are summed over; None of other sums."""
    if node.op_type != "Einsum" or len(node.input) != 2:
        return None
    equation = node.attribute[0].s.decode()
    given, _, result = equation.partition("->")
    left, _, right = given.partition(",")
    if node.input[1] not in constants or "." in equation:
        return None
    for stay in range(1, len(left)):
        summed, kept = left[stay:], left[:stay]
        new = right.removeprefix(summed)
        if right == summed + new and new and result == kept + new:
            return stay, len(summed)
    return None


def _product(
    node: Any, stay: int, summed: int, constants: dict[str, np.ndarray]
) -> Iterator[Any]:
    from onnx import helper

    result, weights = node.output[0], constants[node.input[1]]
    new, rows = weights.shape[summed:], int(np.prod(weights.shape[:summed]))
    matrix, given, product = f"{result}_matrix", node.input[0], result
    constants[matrix] = weights.reshape(rows, -1)
    if summed > 1:
        constants[f"{result}_rows"] = np.array([0] * stay + [rows])
        given = f"{result}_flat"
        yield helper.make_node("Reshape", [node.input[0], f"{result}_rows"], [given])
    if len(new) > 1:
        constants[f"{result}_sides"] = np.array([0] * stay + list(new))
        product = f"{result}_product"
    yield helper.make_node("MatMul", [given, matrix], [product])
    if len(new) > 1:
        yield helper.make_node("Reshape", [product, f"{result}_sides"], [result])
