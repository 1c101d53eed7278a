"""Floating-point operations of any traceable function, loops counted as they run.

XLA's own cost analysis counts the body of a loop once, so that an attack of 10 steps
seems to cost as much as one of 100. Here the traced program is walked: two for every
multiply-add of convolutions and matrix products, and nothing else; nothing is computed.
What nobody reads is not counted; what is written twice is counted twice, even where a
compiler would merge it. Of the branches of a choice the most expensive one counts.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jax.extend import core as jex
from jax.interpreters import partial_eval

from robust_jax.core.closures import traced_now

# Equation of a convolution -> operations.
_ConvolutionRule = Callable[[jex.JaxprEqn], int]


def nominal(function: Callable[..., Any], *args: Any) -> int:
    """Operations of `function(*args)` as papers count: padding and spread zeros too.

    Args:
        function: traceable.
        args: its arguments, arrays or `jax.ShapeDtypeStruct`, in any pytrees.
    Raises: ValueError: a loop without a fixed number of rounds around products.

    >>> rj.core.flops.nominal(jnp.dot, jnp.ones((2, 3)), jnp.ones((3, 4)))
    48
    """
    return _program_flops(_padded, function, *args)


def exact(function: Callable[..., Any], *args: Any) -> int:
    """As `nominal`, without the products of a convolution with zeros that it puts in.

    Those are the padding, and the zeros between the entries of a strided convolution's
    gradient.
    Guarantees: a convolution and each of its two gradients count the same, whatever its
    stride and padding; so does a matrix product. Costs then are whole multiples of a
    forward pass but for the first layer, see `train.step_cost`.
    """
    return _program_flops(_without_zeros, function, *args)


class Sketch(NamedTuple):
    """How large a traced program is."""

    flops: float  # as `exact`; nan where a loop has no fixed length
    equations: int  # what its compilation costs goes with
    kept: bool = False  # found on disk, see `core.exports`

    @classmethod
    def of(cls, jaxpr: jex.Jaxpr) -> "Sketch":
        """Of a program as it is, with what nobody reads."""
        try:
            flops = float(_jaxpr_flops(jaxpr, _without_zeros))
        except ValueError:
            flops = math.nan
        return cls(flops, _equations(jaxpr))


def _equations(jaxpr: jex.Jaxpr) -> int:
    inner = (
        _equations(one)
        for equation in jaxpr.eqns
        for one in jex.jaxprs_in_params(equation.params)
    )
    return len(jaxpr.eqns) + sum(inner)


def _program_flops(
    rule: _ConvolutionRule, function: Callable[..., Any], *args: Any
) -> int:
    jaxpr = traced_now(function, *args)[0].jaxpr
    # Gradients are written for all inputs of a layer, whoever asks for them.
    read, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return _jaxpr_flops(read, rule)


def _jaxpr_flops(jaxpr: jex.Jaxpr, rule: _ConvolutionRule) -> int:
    return sum(_equation_flops(equation, rule) for equation in jaxpr.eqns)


def _equation_flops(equation: jex.JaxprEqn, rule: _ConvolutionRule) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        left = _shape(equation.invars[0])
        size = math.prod(_shape(equation.outvars[0]))
        return 2 * size * math.prod(left[axis] for axis in contracted)
    if name == "conv_general_dilated":
        return rule(equation)
    if name == "cond":
        return max(_jaxpr_flops(branch.jaxpr, rule) for branch in params["branches"])
    inner = sum(_jaxpr_flops(jaxpr, rule) for jaxpr in jex.jaxprs_in_params(params))
    if name == "while" and inner:
        raise ValueError(
            "the function has a while loop around matrix products; expected a fixed "
            "number of rounds; use lax.scan"
        )
    return inner * params["length"] if name == "scan" else inner


def _padded(equation: jex.JaxprEqn) -> int:
    return _products(equation, lambda out, tap, direction: out * tap)


def _without_zeros(equation: jex.JaxprEqn) -> int:
    return _products(
        equation, lambda out, tap, d: _real_products(equation, out, tap, d)
    )


def _products(equation: jex.JaxprEqn, along: Callable[[int, int, int], int]) -> int:
    """Two per product; `along` counts the pairs of output and tap in a direction."""
    numbers = equation.params["dimension_numbers"]
    out, kernel = _shape(equation.outvars[0]), _shape(equation.invars[1])
    (batch, features), places = numbers.out_spec[:2], numbers.out_spec[2:]
    # A kernel's input axis already is the channels of one group.
    channels, taps = kernel[numbers.rhs_spec[1]], numbers.rhs_spec[2:]
    pairs = (
        along(out[place], kernel[tap], direction)
        for direction, (place, tap) in enumerate(zip(places, taps, strict=True))
    )
    return 2 * out[batch] * out[features] * channels * math.prod(pairs)


def _real_products(equation: jex.JaxprEqn, out: int, taps: int, direction: int) -> int:
    """Pairs of an output and a tap that meet an entry of the input, not a zero."""
    params = equation.params
    image = _shape(equation.invars[0])
    side = image[params["dimension_numbers"].lhs_spec[2 + direction]]
    spread = params["lhs_dilation"][direction]
    at = (
        np.arange(out)[:, None] * params["window_strides"][direction]
        + np.arange(taps)[None, :] * params["rhs_dilation"][direction]
        - params["padding"][direction][0]
    )
    return int(np.sum((at >= 0) & (at <= (side - 1) * spread) & (at % spread == 0)))


def _shape(variable: Any) -> tuple[int, ...]:
    return tuple(variable.aval.shape)
