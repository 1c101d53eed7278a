"""ONNX files: what they say, or one sentence about what is wrong with them.

Nothing of a file is executed: it is a table of names, numbers and operators.
"""

import math
import os
import pathlib
from typing import Any

import numpy as np

from robust_jax.core import checks, extras
from robust_jax.core.origin import Layout
from robust_jax.interop.onnx.values import in_a_line

_FLOATS = {1: np.float32, 10: np.float16, 11: np.float64}  # By ONNX's numbers.


def read(path: Any) -> Any:
    """The model that a file holds, a `ModelProto`, with its external data.

    Raises: ImportError: without the package onnx. TypeError: no path. ValueError: no
        ONNX file, or one that is cut short. FileNotFoundError: no such file, or a file
        of external data that is missing.
    """
    checks.instance("path", path, str | os.PathLike, "the path of an ONNX file")
    file = pathlib.Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"path={os.fspath(path)!r}; expected an ONNX file")
    onnx = extras.needed("onnx", "onnx", "interop.from_onnx")
    external = extras.needed("onnx.external_data_helper", "onnx", "interop.from_onnx")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(file.read_bytes())
        whole = bool(model.ir_version and model.opset_import and model.graph.node)
    except Exception:  # The parser's own kinds.
        whole = False
    if not whole:
        raise ValueError(
            f"path={os.fspath(path)!r} holds no ONNX model, or only a part of one; "
            "write the file anew"
        )
    try:
        external.load_external_data_for_model(model, str(file.parent))
    except Exception as error:  # Missing, cut short, or outside of the folder.
        missing = _missing(model, file.parent)
        if missing:
            raise FileNotFoundError(
                f"path={os.fspath(path)!r} keeps weights in the file {missing!r}, "
                "which is not beside it; copy both"
            ) from error
        raise ValueError(
            f"path={os.fspath(path)!r} keeps weights in a file that cannot be read: "
            f"{in_a_line(error)}"
        ) from error
    return model


def _missing(model: Any, folder: pathlib.Path) -> str | None:
    """The first file of external data that is not there."""
    entries = (e for t in model.graph.initializer for e in t.external_data)
    names = (entry.value for entry in entries if entry.key == "location")
    return next((name for name in names if not (folder / name).is_file()), None)


def input_of(model: Any) -> Any:
    """The input of a model, a `ValueInfoProto`.

    Raises: ValueError: several inputs, no floats, a fixed batch.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [given for given in model.graph.input if given.name not in weights]
    if len(inputs) != 1:
        names = [given.name for given in inputs]
        raise ValueError(f"the graph has the inputs {names}; expected one, the images")
    kind = inputs[0].type.tensor_type
    if kind.elem_type not in _FLOATS:
        raise ValueError(
            f"the graph's input {inputs[0].name!r} is of ONNX's type {kind.elem_type}; "
            "expected floats"
        )
    sides = sides_of(inputs[0])
    if not sides:
        raise ValueError(
            f"the graph's input {inputs[0].name!r} has no batch axis; expected [B, *S]"
        )
    if sides[0] not in (None, 1):
        raise ValueError(
            f"the graph's input {inputs[0].name!r} has a fixed batch of {sides[0]}, of "
            f"shape {sides}; export with a free batch, in PyTorch by "
            "torch.onnx.export(..., dynamic_shapes=) or dynamic_axes=, or with one of 1"
        )
    return inputs[0]


def dtype_of(given: Any) -> Any:
    """The type of an input."""
    return _FLOATS[given.type.tensor_type.elem_type]


def sides_of(given: Any) -> tuple[int | None, ...]:
    """The shape of an input; None for an axis that is free."""
    return tuple(
        side.dim_value if side.HasField("dim_value") and side.dim_value > 0 else None
        for side in given.type.tensor_type.shape.dim
    )


def layout_of(model: Any) -> Layout | None:
    """Where a graph has its channels; None if its input is not of rank 4.

    A graph that transposes its input to channels first takes channels last; of one that
    has no such operator and no convolution the smaller axis tells.
    """
    given = input_of(model)
    sides = sides_of(given)
    if len(sides) != 4:
        return None
    reached = {given.name}
    for node in model.graph.node:
        if not reached.intersection(node.input):
            continue
        if node.op_type == "Transpose":
            turned = {a.name: list(a.ints) for a in node.attribute}.get("perm")
            if turned == [0, 3, 1, 2]:
                return "HWC"
        if node.op_type in ("Conv", "ConvTranspose"):
            return "CHW"
        if node.op_type in ("Gemm", "MatMul", "Einsum", "Flatten"):
            break
        reached.update(node.output)
    first, last = (side or math.inf for side in (sides[1], sides[3]))
    return "HWC" if last <= 4 < first else "CHW"
