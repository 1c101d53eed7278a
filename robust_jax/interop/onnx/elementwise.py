"""Operators of ONNX that take numbers one by one."""

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf

from robust_jax.interop.onnx.values import (
    Call,
    UnsupportedError,
    Value,
    cast,
    is_known,
    library,
)


def _plain(name: str) -> Callable[..., Value]:
    """The function of that name of NumPy and JAX alike."""

    def apply(call: Call, *values: Value) -> Value:
        return getattr(library(*values), name)(*values)

    return apply


def _of_jax(function: Callable[[Any], Any]) -> Callable[..., Value]:
    def apply(call: Call, x: Value) -> Value:
        return function(x)

    return apply


def _folded(name: str) -> Callable[..., Value]:
    """A function of two values over any number of them."""

    def apply(call: Call, *values: Value) -> Value:
        return functools.reduce(getattr(library(*values), name), values)

    return apply


def identity(call: Call, x: Value, *others: Value) -> Value:
    """Also a dropout, which does nothing to what is evaluated."""
    return x


def dropout(call: Call, x: Value, ratio: Value = None, training: Value = None) -> Value:
    """Identity, unless the graph says that it is in training."""
    if training is not None and not (is_known(training) and not np.any(training)):
        raise UnsupportedError("is in training mode; export the net for inference")
    return x


def divide(call: Call, a: Value, b: Value) -> Value:
    """Of integers, towards zero."""
    if not jnp.issubdtype(a.dtype, jnp.integer):
        return a / b
    lib = library(a, b)
    return lib.sign(a) * lib.sign(b) * (lib.abs(a) // lib.abs(b))


def modulo(call: Call, a: Value, b: Value) -> Value:
    """With the sign of the divisor, or of the dividend where `fmod` says so."""
    lib = library(a, b)
    return lib.fmod(a, b) if call.attribute("fmod", 0) else lib.mod(a, b)


def power(call: Call, x: Value, exponent: Value) -> Value:
    """In the type of the base; of a known whole exponent a product."""
    if is_known(exponent) and np.size(exponent) == 1:
        number = float(np.asarray(exponent).reshape(()))
        shape = np.broadcast_shapes(np.shape(x), np.shape(exponent))
        if number.is_integer() and abs(number) < 64:
            return (x ** int(number)).reshape(shape)
        return (x**number).reshape(shape)
    return cast(library(x, exponent).power(x, exponent), x.dtype)


def mean(call: Call, *values: Value) -> Value:
    """Of several tensors."""
    return functools.reduce(operator.add, values) / len(values)


def where(call: Call, condition: Value, a: Value, b: Value) -> Value:
    """The first where the condition holds."""
    return library(condition, a, b).where(condition, a, b)


def clip(call: Call, x: Value, low: Value = None, high: Value = None) -> Value:
    """Between bounds, each of which may be missing."""
    return library(x, low, high).clip(x, low, high)


def leaky_relu(call: Call, x: Value) -> Value:
    """A small slope below zero."""
    return jnp.where(x >= 0, x, call.attribute("alpha", 0.01) * x)


def prelu(call: Call, x: Value, slope: Value) -> Value:
    """A slope below zero that is learnt."""
    return jnp.where(x >= 0, x, slope * x)


def elu(call: Call, x: Value) -> Value:
    """Exponential below zero."""
    return jax.nn.elu(x, call.attribute("alpha", 1.0))


def celu(call: Call, x: Value) -> Value:
    """The exponential's argument is scaled too."""
    return jax.nn.celu(x, call.attribute("alpha", 1.0))


def selu(call: Call, x: Value) -> Value:
    """Scaled; the attributes' defaults are those of ONNX."""
    alpha = call.attribute("alpha", 1.67326319217681884765625)
    return call.attribute("gamma", 1.05070102214813232421875) * jax.nn.elu(x, alpha)


def hard_sigmoid(call: Call, x: Value) -> Value:
    """A line between zero and one."""
    slope, middle = call.attribute("alpha", 0.2), call.attribute("beta", 0.5)
    return jnp.clip(slope * x + middle, 0, 1)


def hard_swish(call: Call, x: Value) -> Value:
    """The input times a hard sigmoid of slope 1/6."""
    return x * jnp.clip(x / 6 + 0.5, 0, 1)


def gelu(call: Call, x: Value) -> Value:
    """By the error function, or by tanh."""
    form = call.only("approximate", "none", "none", "tanh")
    return jax.nn.gelu(x, approximate=form == "tanh")


def convert(call: Call, x: Value) -> Value:
    """To another type; floats stay of the type that is computed in."""
    return cast(x, call.dtype_of(call.attribute("to")))


def convert_like(call: Call, x: Value, other: Value) -> Value:
    """To the type of another value."""
    return cast(x, other.dtype)


OPERATORS: dict[str, Callable[..., Value]] = {
    "Abs": _plain("abs"),
    "Add": _plain("add"),
    "And": _plain("logical_and"),
    "Cast": convert,
    "CastLike": convert_like,
    "Ceil": _plain("ceil"),
    "Celu": celu,
    "Clip": clip,
    "Cos": _plain("cos"),
    "Div": divide,
    "Dropout": dropout,
    "Elu": elu,
    "Equal": _plain("equal"),
    "Erf": _of_jax(erf),
    "Exp": _plain("exp"),
    "Floor": _plain("floor"),
    "Gelu": gelu,
    "Greater": _plain("greater"),
    "GreaterOrEqual": _plain("greater_equal"),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "Identity": identity,
    "IsInf": _plain("isinf"),
    "IsNaN": _plain("isnan"),
    "LeakyRelu": leaky_relu,
    "Less": _plain("less"),
    "LessOrEqual": _plain("less_equal"),
    "Log": _plain("log"),
    "Max": _folded("maximum"),
    "Mean": mean,
    "Min": _folded("minimum"),
    "Mish": _of_jax(jax.nn.mish),
    "Mod": modulo,
    "Mul": _plain("multiply"),
    "Neg": _plain("negative"),
    "Not": _plain("logical_not"),
    "Or": _plain("logical_or"),
    "PRelu": prelu,
    "Pow": power,
    "Reciprocal": _plain("reciprocal"),
    "Relu": _of_jax(jax.nn.relu),
    "Round": _plain("round"),
    "Selu": selu,
    "Sigmoid": _of_jax(jax.nn.sigmoid),
    "Sign": _plain("sign"),
    "Sin": _plain("sin"),
    "Softplus": _of_jax(jax.nn.softplus),
    "Softsign": _of_jax(jax.nn.soft_sign),
    "Sqrt": _plain("sqrt"),
    "Sub": _plain("subtract"),
    "Sum": _folded("add"),
    "Tanh": _plain("tanh"),
    "Where": where,
    "Xor": _plain("logical_xor"),
}
