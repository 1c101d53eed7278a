"""Flax nets taken apart at a submodule, without changing them."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from robust_jax.core import checks
from robust_jax.core.types import Array
from robust_jax.models import ApplyMode, functional
from robust_jax.train.helpers import ThreatFn
from robust_jax.train.pool import SplitNet


def split_before(
    module: nn.Module, name: str, input_shape: tuple[int, ...], threat_fn: ThreatFn
) -> SplitNet:
    """A Flax net taken apart at the input of one of its submodules.

    That input is the output of the layer below, after its nonlinearity: of
    `models.by_name("fc100_100_10")` "Dense_1" and "Dense_2" give the two hidden layers'
    outputs. The upper part is the whole net on an image of zeros, where the submodule
    is handed the given values instead of its input: what lies below is then not read
    and is dropped when the program is compiled.
    Edge cases: a net in which the layers below reach the logits by another way (a skip
    past the submodule) takes that way from the image of zeros: split such nets between
    their blocks. The upper part leaves no batch statistics.

    Args:
        module: a net that `models.ApplyMode` takes, and calls the submodule once.
        name: the submodule's, with slashes inside others, such as "Block_0/Conv_1".
        input_shape: the shape *S of one image.
        threat_fn: training step -> threat in the space of the input's values, such as
            threats.L2(eps, lower=-inf, upper=inf).
    Raises: ValueError: a net without such a submodule.

    >>> net = rj.models.by_name("fc100_100_10")
    >>> threat_fn = lambda step: rj.threats.L2(0.5, -float("inf"), float("inf"))
    >>> split = rj.train.split_before(net, "Dense_1", (8, 8, 1), threat_fn)
    >>> split.shape
    (100,)
    """
    apply_fn, path = ApplyMode(module), tuple(name.split("/"))

    def below(variables: Any, images: Array) -> Array:
        seen: list[Array] = []

        def record(x: Array) -> Array:
            seen.append(x)
            return x

        with nn.intercept_methods(_at(path, record)):
            apply_fn(variables, images, "eval")
        _check(name, module, seen)
        return seen[0]

    variables = functional.abstract_variables(module, input_shape)
    image = jax.ShapeDtypeStruct(input_shape, jnp.float32)
    shape = jax.eval_shape(below, variables, image).shape

    def above(variables, points, mode, key=None):
        images = jnp.zeros((*points.shape[: points.ndim - len(shape)], *input_shape))
        with nn.intercept_methods(_at(path, lambda x: points)):
            logits, _ = apply_fn(variables, images, mode, key)
        return logits, variables

    return SplitNet(below, above, threat_fn, shape)


def _at(path: tuple[str, ...], change: Callable[[Array], Array]) -> Any:
    """An interceptor that changes the first argument of one submodule's call."""

    def interceptor(next_fn, args, kwargs, context):
        if context.module.path == path and context.method_name == "__call__":
            args = (change(args[0]), *args[1:])
        return next_fn(*args, **kwargs)

    return interceptor


def _check(name, module, seen):
    if not seen:
        raise ValueError(
            f"name={checks.shown(name)}; expected a submodule of "
            f"{type(module).__name__}, such as 'Dense_0'"
        )
