"""The layers of a Flax net: what goes into them, and how much they can stretch it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from robust_jax import models
from robust_jax.analysis import spectral
from robust_jax.analysis.directions import FeaturesFn
from robust_jax.core import checks
from robust_jax.core.types import Array, Key

_LAYERS = (nn.Dense, models.Conv, models.BatchNorm)
# Activation, and how steep it is.
_CHAINS: dict[type[nn.Module], float] = {
    models.networks.MLP: 1.0,
    models.networks.SigmoidMLP: 0.25,
    models.networks.SmallCNN: 1.0,
    models.networks.FastCNN: 1.0,
    models.networks.MadryCNN: 1.0,
    models.networks.DigitsCNN: 1.0,
}


class _Call(NamedTuple):
    name: str
    layer: Any  # unbound
    weights: Any  # its variables
    x: Array  # what went in
    y: Array  # what came out


class LayerNorm(NamedTuple):
    """How much a layer stretches a change, in L2."""

    name: str
    kind: str  # dense, convolution, normalisation
    norm: float  # of the layer as it is; convolutions by power iteration
    bound: float  # at least the norm; convolutions by their Fourier transform


def layer_names(module: nn.Module, input_shape: tuple[int, ...]) -> tuple[str, ...]:
    """The layers with weights in calling order, such as "Block_0/Conv_1"."""
    found: list[str] = []

    def names(variables: Any, images: Array) -> None:
        found.extend(call.name for call in _calls(module, variables, images))

    variables = models.functional.abstract_variables(module, input_shape)
    jax.eval_shape(names, variables, jax.ShapeDtypeStruct(input_shape, jnp.float32))
    return tuple(found)


def layer_inputs(
    module: nn.Module, variables: Any, name: str, input_shape: tuple[int, ...]
) -> FeaturesFn:
    """A function of images that gives what a layer takes.

    That is the output of the layer below, after its nonlinearity and pooling.

    Args:
        module: a net of `models`.
        variables: its weights.
        name: one of `layer_names`.
        input_shape: the shape *S of one image.
    Raises: ValueError: no such layer, with the known ones.
    """
    checks.known_name("layer", name, layer_names(module, input_shape))
    return lambda images: _only(module, variables, images, name).x


def layer_outputs(
    module: nn.Module, variables: Any, name: str, input_shape: tuple[int, ...]
) -> FeaturesFn:
    """As `layer_inputs`, what the layer gives, before a nonlinearity."""
    checks.known_name("layer", name, layer_names(module, input_shape))
    return lambda images: _only(module, variables, images, name).y


def from_layer(
    module: nn.Module, variables: Any, name: str, input_shape: tuple[int, ...]
) -> Callable[[Array, Array], tuple[Array, Array]]:
    """A function of images and a shift of a layer's output: (output, logits).

    With shift 0 its derivative by the shift is the gradient of the logits by what the
    layer gives, such as Grad-CAM and concept vectors ask for.

    Args:
        module: a net of `models`.
        variables: its weights.
        name: one of `layer_names`.
        input_shape: the shape *S of one image.
    Raises: ValueError: no such layer, with the known ones.
    """
    checks.known_name("layer", name, layer_names(module, input_shape))

    def run(images: Array, shift: Array) -> tuple[Array, Array]:
        calls, logits = _run(module, variables, images, (name, shift))
        (output,) = (call.y for call in calls if call.name == name)
        return output, logits

    return run


def layer_norms(
    module: nn.Module, variables: Any, input_shape: tuple[int, ...], key: Key
) -> list[LayerNorm]:
    """The norms of all layers with weights, in calling order.

    Args:
        module: a net of `models`.
        variables: its weights.
        input_shape: the shape *S of one image.
        key: of the power iterations' starts.
    """
    image = jnp.zeros((1, *input_shape))
    calls = _calls(module, variables, image)
    keys = jax.random.split(key, len(calls))
    return [_norm(*pair) for pair in zip(calls, keys, strict=True)]


def product_bound(module: nn.Module, norms: list[LayerNorm]) -> float:
    """An upper bound of the slope of a net whose layers follow one another.

    The product of the layers' bounds, of the steepness of the activation between them
    and of the normalisation of pixels; pooling without overlap adds nothing.

    Raises: ValueError: a net of another shape, where paths meet.
    References: Szegedy et al., "Intriguing properties of neural networks", ICLR 2014,
        Sec. 4.3.
    """
    if type(module) not in _CHAINS:
        known = ", ".join(sorted(kind.__name__ for kind in _CHAINS))
        raise ValueError(
            f"{type(module).__name__} is not known as a chain of layers; expected one "
            f"of {known}"
        )
    slope = _CHAINS[type(module)] ** (len(norms) - 1) / min(module.std)
    for each in norms:
        slope *= each.bound
    return slope


def _calls(module: nn.Module, variables: Any, images: Array) -> list[_Call]:
    return _run(module, variables, images)[0]


def _run(
    module: nn.Module,
    variables: Any,
    images: Array,
    shift: tuple[str, Array] | None = None,
) -> tuple[list[_Call], Array]:
    """The calls of all layers, and the logits; one layer's output may be shifted."""
    found: list[_Call] = []

    def look(next_fn: Any, args: Any, kwargs: Any, context: Any) -> Any:
        y = next_fn(*args, **kwargs)
        if isinstance(context.module, _LAYERS) and context.method_name == "__call__":
            layer, weights = context.module.clone(parent=None), context.module.variables
            name = "/".join(context.module.path)
            found.append(_Call(name, layer, weights, args[0], y))
            return y + shift[1] if shift and shift[0] == name else y
        return y

    with nn.intercept_methods(look):
        logits = models.ApplyMode(module)(variables, images, "eval")[0]
    return found, logits


def _only(module, variables, images, name):
    (call,) = (c for c in _calls(module, variables, images) if c.name == name)
    return call


def _norm(call, key):
    layer, params = call.layer, call.weights["params"]
    if isinstance(layer, nn.Dense):
        norm = spectral.dense_norm(params["kernel"])
        return LayerNorm(call.name, "dense", norm, norm)
    if isinstance(layer, models.BatchNorm):
        variance = call.weights["batch_stats"]["var"]
        norm = spectral.scaling_norm(params["scale"], variance, layer.epsilon)
        return LayerNorm(call.name, "normalisation", norm, norm)
    strides, shape = np.unique(layer.strides), call.x.shape[-3:]
    if len(strides) > 1:
        raise ValueError(f"{call.name}: strides={layer.strides}; expected equal ones")

    @jax.jit
    def power_iteration():
        return spectral.operator_norm(
            lambda x: layer.apply(call.weights, x), shape, key
        )

    bound = spectral.conv_norm(
        params["kernel"], shape[:2], int(strides[0]), padding="zeros"
    )
    return LayerNorm(call.name, "convolution", float(power_iteration()), bound)
