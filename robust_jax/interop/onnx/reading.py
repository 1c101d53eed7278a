"""A graph of ONNX as a function of JAX, compared with what a runtime computes."""

import dataclasses
import functools
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from numpy.typing import NDArray

from robust_jax.core import checks
from robust_jax.core.compiling import compiled
from robust_jax.core.origin import CLOSE, Layout, Origin, Parity
from robust_jax.interop.onnx import files, runtimes, structure
from robust_jax.interop.onnx.graph import Apply
from robust_jax.interop.onnx.values import in_a_line

COMPARED = 64  # Images, for parity.
_TOLD = 4  # Images of which all values are compared, where logits differ.
_TINY = 1e-12


def from_onnx(
    path: Any, *, images: Any = None, layout: Layout | None = None
) -> Partial:
    """An ONNX file as a function of one example, with its gradient.

    The graph is computed by JAX's own operations, in inference mode, as exporters write
    it. Its weights are data: other weights of the same graph compile nothing. What it
    gives is compared with onnxruntime, or else onnx's reference evaluator, on up to 64
    images; `rj.core.origin.of(model)` has the result, the layout of the images, and who
    wrote the file. Needs `pip install 'robust-jax[onnx]'`.
    Guarantees: nothing of the file is executed; works under jit, vmap and grad; floats
    are computed in the type of the images.
    Edge cases: a graph of batch 1 is called for each example; graphs of opset 11 to 23
    are read; what is not read is refused by name.

    Args:
        path: of the file; files of external data lie beside it.
        images: to compare on, [B, *S]; random ones in [0, 1] if None.
        layout: of the images that the graph takes, "CHW" or "HWC"; None reads it off
            the graph, which mostly tells.
    Returns: one example [*S] to its logits [K].
    Raises: FileNotFoundError: no such file. ImportError: without onnx. ValueError: a
        graph that is not read, and the first reason.

    >>> rj.interop.from_onnx("net.onnx")
    Traceback (most recent call last):
    ...
    FileNotFoundError: path='net.onnx'; expected an ONNX file
    """
    if layout not in (None, "CHW", "HWC"):
        said = checks.shown(layout)
        raise ValueError(f"layout={said}; expected 'CHW', 'HWC' or None")
    model, said = files.read(path), f"path={os.fspath(path)!r}"
    try:
        return _read(model, images, layout)
    except ValueError as error:
        raise ValueError(f"{said}: {error}") from error
    except Exception as error:  # Of a file that breaks ONNX's own rules.
        raise ValueError(f"{said} cannot be read: {in_a_line(error)}") from error


def _read(model: Any, images: Any, layout: Layout | None) -> Partial:
    graph, weights = structure.graph_of(model)
    batch = _batch(model, images)
    layout = layout or files.layout_of(model)
    writer = f"{model.producer_name} {model.producer_version}".strip() or "unknown"
    runtime = runtimes.of(model)
    source = f"onnx file of {writer}, compared with {runtime.name}"
    net = Partial(
        Apply(graph, Origin(source, layout)),
        {name: jnp.asarray(value) for name, value in weights.items()},
    )
    shape = jax.eval_shape(net, jax.ShapeDtypeStruct(batch.shape[1:], jnp.float32))
    if len(shape.shape) != 1:
        raise ValueError(
            f"the graph gives {shape.shape} for an image; expected logits [K]"
        )
    parity = _parity(model, runtime, net, batch)
    return Partial(Apply(graph, Origin(source, layout, parity)), *net.args)


def _batch(model: Any, images: Any) -> NDArray[np.float32]:
    """Images to compare on.

    Raises: ValueError: images that do not fit, or none where axes are free.
    """
    given = files.input_of(model)
    sides = files.sides_of(given)[1:]
    if images is None:
        if None in sides:
            raise ValueError(
                f"the graph's input {given.name!r} has free axes, of shape "
                f"{('B', *sides)}; give images of the size that is meant"
            )
        shape = (COMPARED, *(side or 1 for side in sides))
        return np.random.default_rng(0).random(shape, np.float32)
    batch = np.asarray(images, np.float32)[:COMPARED]
    if (
        len(batch) == 0
        or batch.ndim != len(sides) + 1
        or any(a not in (None, b) for a, b in zip(sides, batch.shape[1:], strict=True))
    ):
        raise ValueError(
            f"images.shape={np.shape(images)}; expected {('B', *sides)}, which the "
            f"graph's input {given.name!r} takes"
        )
    return batch


def _parity(
    model: Any, runtime: runtimes.Runtime, net: Partial, batch: NDArray[np.float32]
) -> Parity:
    given = files.input_of(model)
    one_by_one = files.sides_of(given)[0] == 1
    asked = batch.astype(files.dtype_of(given))
    try:
        (wanted,) = runtime.asked(asked, one_by_one)
    except Exception as error:  # Whatever a runtime says of a graph.
        said = in_a_line(error)
        raise ValueError(f"{runtime.name} cannot compute the graph: {said}") from error
    found = answers(net, batch)
    parity = Parity(
        len(batch),
        relative_difference(found, wanted),
        int((found.argmax(1) == wanted.argmax(1)).sum()),
    )
    if parity.is_close:
        return parity
    return dataclasses.replace(
        parity, differs=_first_difference(model, net, asked[:_TOLD])
    )


@functools.cache
def _over_batch() -> Any:
    """The net is an argument: other weights of the same graph compile nothing."""
    return compiled(lambda net, batch: jax.vmap(net)(batch), brief=True)


def answers(net: Partial, batch: NDArray[Any]) -> NDArray[Any]:
    """The logits of a batch."""
    return np.asarray(_over_batch()(net, batch))


def relative_difference(found: Any, wanted: Any) -> float:
    """The largest difference, relative to the largest number; of NaN infinite."""
    found, wanted = (np.asarray(value, np.float64) for value in (found, wanted))
    if not wanted.size:
        return 0.0
    gap = np.abs(found - wanted).max() / max(np.abs(wanted).max(), _TINY)
    return float(gap) if np.isfinite(gap) else np.inf


def _first_difference(model: Any, net: Partial, batch: NDArray[Any]) -> str | None:
    """The first value, in the order of nodes, that a runtime computes otherwise."""
    apply: Any = net.func
    graph, weights = apply.graph, net.args[0]
    by_name = {name: node for node in graph.nodes for name in node.outputs}
    ours = [
        dict(graph.outputs(weights, jnp.asarray(x, jnp.float32)[None])) for x in batch
    ]
    names = list(ours[0])
    runtime = runtimes.of(model, names)
    theirs = [dict(zip(names, runtime.run(x[None]), strict=True)) for x in batch]
    for name in names:
        for own, other in zip(ours, theirs, strict=True):
            if not relative_difference(own[name], other[name]) <= CLOSE:
                return f"{by_name[name]}, output {name!r}"
    return None
