"""Counted operations beside counts by hand and beside real multiplications."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from robust_jax import models
from robust_jax.core import flops

X, W = jnp.zeros((5, 4)), jnp.zeros((4, 4))
ONE = 2 * 5 * 4 * 4  # of X @ W
NAMES = ("NHWC", "HWIO", "NHWC")


@jax.custom_vjp
def doubled(x):
    return x @ W


doubled.defvjp(lambda x: (x @ W, x), lambda x, ct: (ct @ W.T @ W.T,))


@jax.custom_jvp
def tangential(x):
    return x @ W


tangential.defjvp(lambda x, t: (x[0] @ W, t[0] @ W))


def deep(x):
    return jnp.sum(jnp.tanh(x @ W) @ W)


def looped(x):
    inner = lambda _, x: lax.fori_loop(0, 3, lambda _, x: x @ W, x)  # noqa: E731
    return lax.fori_loop(0, 7, inner, x)


def unread(x):
    lax.scan(lambda c, _: (c @ W, None), x, None, length=9)
    return x @ W


@pytest.mark.parametrize(
    ("function", "products"),
    [
        (lambda x: x @ W, 1),
        (looped, 21),
        (jax.grad(lambda x: jnp.sum(looped(x) ** 2)), 42),
        (lambda x: lax.scan(lambda c, _: (c @ W, c @ W), x, None, length=4), 8),
        (jax.jit(lambda x: jax.jit(looped)(x) @ W), 22),
        (unread, 1),
        (doubled, 1),
        (lambda x: jax.vjp(doubled, x)[1](x), 2),
        (jax.grad(lambda x: jnp.sum(doubled(x) ** 2)), 3),
        (tangential, 1),
        (jax.grad(lambda x: jnp.sum(tangential(x) ** 2)), 2),
        (jax.value_and_grad(jax.checkpoint(deep)), 2 + 1 + 2),
        (lambda x: lax.cond(x[0, 0] > 0, looped, lambda x: x @ W, x), 21),
        (lambda x: lax.while_loop(lambda x: x[0, 0] < 9, lambda x: x + 1, x) @ W, 1),
        (jax.vmap(lambda x: x @ W), 1),
    ],
)
def test_products_are_counted_as_often_as_they_run(function, products):
    for count in (flops.nominal, flops.exact):
        assert count(function, X) == products * ONE


def test_an_open_loop_is_refused():
    loop = lambda x: lax.while_loop(lambda x: x[0, 0] < 9, lambda x: x @ W, x)  # noqa: E731
    with pytest.raises(ValueError, match="expected a fixed number of rounds"):
        flops.exact(loop, X)


def by_hand(side, kernel, stride, pads, dilation):
    """Pairs of output and tap that meet a pixel, along one direction."""
    reach = (kernel - 1) * dilation + 1
    firsts = range(-pads[0], side + pads[1] - reach + 1, stride)
    taps = (range(first, first + reach, dilation) for first in firsts)
    return sum(0 <= place < side for place in itertools.chain(*taps))


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("pads", [(0, 0), (1, 1), (0, 2)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_a_convolution_and_its_gradients_count_the_same(kernel, stride, pads, dilation):
    x, k = np.zeros((2, 9, 11, 4), np.float32), np.zeros((kernel, kernel, 2, 6))
    k = k.astype(np.float32)

    def convolved(x, k):
        y = lax.conv_general_dilated(
            x,
            k,
            (stride, stride),
            (pads, pads),
            rhs_dilation=(dilation, dilation),
            dimension_numbers=NAMES,
            feature_group_count=2,
        )
        return jnp.sum(y**2)

    pairs = [by_hand(side, kernel, stride, pads, dilation) for side in (9, 11)]
    expected = 2 * 2 * 2 * 6 * np.prod(pairs)
    assert flops.exact(convolved, x, k) == expected
    for argument in (0, 1):
        assert flops.exact(jax.grad(convolved, argument), x, k) == 2 * expected
    assert flops.exact(jax.grad(convolved, (0, 1)), x, k) == 3 * expected
    assert flops.nominal(convolved, x, k) >= expected


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_librarys_convolution_counts_as_the_standard_one(padding, stride):
    x, k = np.zeros((2, 9, 11, 16), np.float32), np.zeros((3, 3, 16, 6), np.float32)

    def ours(x, k):
        return jnp.sum(models.conv2d(x, k, stride, padding) ** 2)

    def standard(x, k):
        strides = (stride, stride)
        return jnp.sum(
            lax.conv_general_dilated(x, k, strides, padding, dimension_numbers=NAMES)
            ** 2
        )

    for argument in (0, 1, (0, 1)):
        count = [flops.exact(jax.grad(f, argument), x, k) for f in (ours, standard)]
        assert count[0] == count[1] > 0
