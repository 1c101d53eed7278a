"""Operators of ONNX that are layers of nets: products, normalisation, softmax."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from robust_jax.interop.onnx.values import Call, UnsupportedError, Value, library


def gemm(call: Call, a: Value, b: Value, c: Value = None) -> Value:
    """A product of matrices, and what is added to it."""
    a = a.T if call.attribute("transA", 0) else a
    b = b.T if call.attribute("transB", 0) else b
    y = _scaled(a @ b, call.attribute("alpha", 1.0))
    return y if c is None else y + _scaled(c, call.attribute("beta", 1.0))


def _scaled(x: Value, factor: float) -> Value:
    return x if factor == 1 else factor * x


def matmul(call: Call, a: Value, b: Value) -> Value:
    """A product, as NumPy has it."""
    return library(a, b).matmul(a, b)


def einsum(call: Call, *values: Value) -> Value:
    """A sum of products by its equation."""
    return library(*values).einsum(call.attribute("equation"), *values)


def batch_normalization(
    call: Call, x: Value, scale: Value, bias: Value, mean: Value, variance: Value
) -> Value:
    """By statistics of the training set, each channel for itself."""
    call.only("training_mode", 0, 0)
    tiny, sides = call.attribute("epsilon", 1e-5), (1, -1, *[1] * (x.ndim - 2))
    factor = scale * lax.rsqrt(variance + tiny)
    return (x - mean.reshape(sides)) * factor.reshape(sides) + bias.reshape(sides)


def _standard(x: Value, axes: tuple[int, ...], tiny: float) -> Value:
    """Of mean zero and variance one over the axes."""
    centred = x - x.mean(axes, keepdims=True)
    return centred * lax.rsqrt(jnp.square(centred).mean(axes, keepdims=True) + tiny)


def layer_normalization(
    call: Call, x: Value, scale: Value, bias: Value = None
) -> Value:
    """Over the last axes, from `axis` on."""
    axes = tuple(range(call.attribute("axis", -1) % x.ndim, x.ndim))
    y = _standard(x, axes, call.attribute("epsilon", 1e-5)) * scale
    return y if bias is None else y + bias


def rms_normalization(call: Call, x: Value, scale: Value) -> Value:
    """By the root of the mean square over the last axes."""
    axes = tuple(range(call.attribute("axis", -1) % x.ndim, x.ndim))
    square = jnp.square(x).mean(axes, keepdims=True)
    return x * lax.rsqrt(square + call.attribute("epsilon", 1e-5)) * scale


def instance_normalization(call: Call, x: Value, scale: Value, bias: Value) -> Value:
    """Each channel of each image for itself."""
    axes, sides = tuple(range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
    y = _standard(x, axes, call.attribute("epsilon", 1e-5))
    return y * scale.reshape(sides) + bias.reshape(sides)


def group_normalization(call: Call, x: Value, scale: Value, bias: Value) -> Value:
    """Groups of channels; until opset 20 with a scale for each group."""
    groups, sides = call.attribute("num_groups"), (1, -1, *[1] * (x.ndim - 2))
    y = x.reshape(len(x), groups, -1)
    y = _standard(y, (2,), call.attribute("epsilon", 1e-5)).reshape(x.shape)
    if call.opset < 21:
        scale, bias = (jnp.repeat(v, x.shape[1] // groups) for v in (scale, bias))
    return y * scale.reshape(sides) + bias.reshape(sides)


def lp_normalization(call: Call, x: Value) -> Value:
    """Divided by the norm along an axis; zero stays."""
    axis, p = call.attribute("axis", -1), call.only("p", 2, 1, 2)
    powers = jnp.abs(x) if p == 1 else jnp.square(x)
    total = powers.sum(axis, keepdims=True)
    total = jnp.where(total == 0, 1, total)  # Before the root, for its gradient.
    return x / (total if p == 1 else jnp.sqrt(total))


def _axes_of_softmax(call: Call, x: Value) -> tuple[int, ...]:
    """One axis; until opset 12 all axes from that one on."""
    if call.opset >= 13:
        return (call.attribute("axis", -1),)
    return tuple(range(call.attribute("axis", 1) % x.ndim, x.ndim))


def softmax(call: Call, x: Value) -> Value:
    """Probabilities of logits."""
    return jax.nn.softmax(x, _axes_of_softmax(call, x))


def log_softmax(call: Call, x: Value) -> Value:
    """Logarithms of probabilities."""
    return jax.nn.log_softmax(x, _axes_of_softmax(call, x))


def attention(
    call: Call, query: Value, key: Value, value: Value, mask: Value = None, *past: Value
) -> Value:
    """Softmax of products of queries and keys, times values, for each head.

    Raises UnsupportedError: what language models need: a cache of keys, a soft cap.
    """
    call.only("softcap", 0.0, 0.0)
    if any(given is not None for given in past):
        raise UnsupportedError("has keys of earlier calls, which are not read")
    rank = query.ndim
    if rank == 3:
        heads = call.attribute("q_num_heads"), call.attribute("kv_num_heads")
        query = _by_heads(query, heads[0])
        key, value = (_by_heads(given, heads[1]) for given in (key, value))
    groups = query.shape[1] // key.shape[1]
    key, value = (jnp.repeat(given, groups, 1) for given in (key, value))
    scale = call.attribute("scale", query.shape[-1] ** -0.5)
    scores = scale * (query @ jnp.swapaxes(key, -1, -2))
    if call.attribute("is_causal", 0):
        before = jnp.tril(jnp.ones(scores.shape[-2:], bool))
        scores = jnp.where(before, scores, -jnp.inf)
    if mask is not None:
        is_choice = mask.dtype == bool
        scores = jnp.where(mask, scores, -jnp.inf) if is_choice else scores + mask
    y = jax.nn.softmax(scores, -1) @ value
    if rank == 4:
        return y
    return jnp.swapaxes(y, 1, 2).reshape(len(y), y.shape[2], -1)


def _by_heads(x: Value, heads: int) -> Value:
    return jnp.swapaxes(x.reshape(*x.shape[:2], heads, -1), 1, 2)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Attention": attention,
    "BatchNormalization": batch_normalization,
    "Einsum": einsum,
    "Gemm": gemm,
    "GroupNormalization": group_normalization,
    "InstanceNormalization": instance_normalization,
    "LayerNormalization": layer_normalization,
    "LogSoftmax": log_softmax,
    "LpNormalization": lp_normalization,
    "MatMul": matmul,
    "RMSNormalization": rms_normalization,
    "Softmax": softmax,
}
