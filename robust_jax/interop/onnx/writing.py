"""Nets of JAX as ONNX files, which other tools verify, attack and run."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex
from numpy.typing import NDArray

from robust_jax.core import checks, extras, records
from robust_jax.core.closures import as_partial, traced_now
from robust_jax.core.types import Array
from robust_jax.interop.onnx import runtimes
from robust_jax.interop.onnx.reading import COMPARED, answers, relative_difference
from robust_jax.interop.onnx.replaying import operations, replay
from robust_jax.interop.onnx.tidying import tidy
from robust_jax.interop.onnx.values import in_a_line

_OPSET = 21  # From the next on, sums of absolute values are LpPool, of all axes.
_LARGEST = 1e-5  # Relative difference of logits.


def to_onnx(net: Callable[[Array], Array], example: Any, path: Any) -> float:
    """Writes a net as an ONNX file of a free batch, and verifies it.

    The net is traced on one example and mapped over the batch, then written by jax2onnx
    with its weights inside; `models.conv2d` and ReLUs become Conv and Relu. onnxruntime
    computes 64 random images in [0, 1], at once and one by one.
    Needs `pip install 'robust-jax[onnx-export]'`, which asks for an older Orbax: an
    environment of its own.
    Guarantees: nothing is left at `path` that was not verified; what was there before
    stays until then. Inference mode, as the function has it.

    Args:
        net: one example [*S] to its logits [K], with its weights.
        example: an image, or zeros of its shape [*S].
        path: of the file, NAME.onnx by custom; its folder is there.
    Returns: the largest difference of logits, relative to the largest, at most 1e-5.
    Raises: ImportError: without jax2onnx and onnxruntime. FileNotFoundError: no such
        folder. ValueError: a net that gives no logits, that jax2onnx cannot write, or
        whose file computes otherwise.

    >>> rj.interop.to_onnx(net, images[0], "no_such_folder/net.onnx")
    Traceback (most recent call last):
    ...
    FileNotFoundError: path='no_such_folder/net.onnx'; its folder is not there
    """
    checks.function("net", net)
    checks.instance("path", path, str | os.PathLike, "the path of an ONNX file")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"path={os.fspath(path)!r}; its folder is not there")
    if os.path.isdir(path):
        raise ValueError(f"path={os.fspath(path)!r} is a folder; expected a file")
    extras.needed("onnxruntime", "onnx-export", "interop.to_onnx")
    shape = np.shape(example)
    with _unchanged(jnp):
        jax2onnx = extras.needed("jax2onnx", "onnx-export", "interop.to_onnx")
        written = _written(jax2onnx, net, jax.ShapeDtypeStruct(shape, jnp.float32))
    model = tidy(written)
    difference = _largest_difference(model, net, shape)
    if not difference <= _LARGEST:
        raise ValueError(
            f"the file's logits differ from the net's by {difference:.1e} of the "
            f"largest; expected at most {_LARGEST:.0e}, and nothing was written"
        )
    with records.atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return difference


@contextlib.contextmanager
def _unchanged(module: ModuleType) -> Iterator[None]:
    """jax2onnx leaves a `jax.numpy.cumsum` of its own, which takes less."""
    before = dict(vars(module))
    try:
        yield
    finally:
        vars(module).update(before)


def _written(jax2onnx: Any, net: Any, example: jax.ShapeDtypeStruct) -> Any:
    """A `ModelProto` of a net.

    Raises: ValueError: no logits, or what jax2onnx does not know.
    """
    from robust_jax.models.convolution import plain_convolutions  # Loads Flax.

    try:
        with jax.enable_x64(False), plain_convolutions():
            closed, shape = traced_now(net, example)
    except Exception as error:  # Whatever a net says of a shape.
        raise ValueError(
            f"net fails on an example of shape {example.shape}: {in_a_line(error)}"
        ) from error
    if not hasattr(shape, "shape") or len(shape.shape) != 1:
        raise ValueError(
            f"net gives {shape} for an example of shape {example.shape}; expected "
            "logits [K]; wrap a net of batches by interop.per_example"
        )
    _check_primitives(closed.jaxpr)

    def of_batch(batch: Array) -> Array:
        return jax.vmap(lambda x: replay(closed.jaxpr, closed.consts, [x])[0])(batch)

    spoken = logging.getLogger("onnx_ir")
    level = spoken.level
    spoken.setLevel(logging.ERROR)  # It warns of each shape that it leaves out.
    try:
        return jax2onnx.to_onnx(of_batch, [("B", *example.shape)], opset=_OPSET)
    except Exception as error:  # Whatever its many parts raise.
        said = in_a_line(error)
        raise ValueError(f"net cannot be written by jax2onnx: {said}") from error
    finally:
        spoken.setLevel(level)


def _check_primitives(jaxpr: jex.Jaxpr) -> None:
    """Raises ValueError: an operation that jax2onnx has no rule for, by name."""
    from jax2onnx.plugins.plugin_system import PLUGIN_REGISTRY, import_all_plugins

    import_all_plugins()
    for name in operations(jaxpr):
        if name not in PLUGIN_REGISTRY:
            raise ValueError(
                f"net computes the primitive {name!r}, which jax2onnx does not write; "
                "write that part of it with other operations"
            )


def _largest_difference(model: Any, net: Any, shape: tuple[int, ...]) -> float:
    """Of logits, at batches of 64 and of 1, relative to the largest.

    Raises: ValueError: onnxruntime does not take the file.
    """
    images: NDArray[Any] = np.random.default_rng(0).random(
        (COMPARED, *shape), np.float32
    )
    wanted = answers(as_partial(net), images)
    try:
        runtime = runtimes.in_onnxruntime(model)
        found = [runtime.asked(images, one_by_one) for one_by_one in (False, True)]
    except Exception as error:  # Whatever it says of a graph.
        said = in_a_line(error)
        raise ValueError(f"onnxruntime does not take the file: {said}") from error
    return max(relative_difference(logits, wanted) for (logits,) in found)
