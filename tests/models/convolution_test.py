"""Convolutions: `lax.conv_general_dilated` and Flax are the oracles."""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax
from jax.test_util import check_grads

from robust_jax import models
from robust_jax.models import Conv, conv2d
from robust_jax.models.convolution import plain_convolutions

# image, channels, features, kernel, stride, padding
CASES = {
    "same": ((8, 8), 3, 8, (3, 3), 1, "SAME"),
    "valid": ((7, 9), 8, 4, (3, 3), 1, "VALID"),
    "odd image, stride 2": ((7, 9), 8, 4, (3, 3), 2, "SAME"),
    "columns that no window reaches": ((9, 12), 8, 4, (3, 2), (3, 5), "VALID"),
    "even kernel": ((8, 7), 8, 4, (4, 2), (2, 1), 1),
    "one-sided pads": ((6, 6), 8, 4, (3, 3), 2, ((0, 2), (1, 0))),
    "pads beyond the kernel": ((4, 4), 8, 4, (2, 3), 1, 4),
    "one by one, stride 2": ((5, 6), 70, 4, (1, 1), 2, "VALID"),
    "few pixels": ((8, 9), 1, 8, (3, 3), 1, "SAME"),
    "few pixels, stride 2": ((28, 27), 1, 4, (4, 4), 2, 1),
    "few pixels, stride = side": ((9, 8), 3, 4, (2, 4), (2, 4), "VALID"),
    "few pixels, other strides": ((9, 11), 2, 4, (2, 3), (2, 1), ((1, 0), (0, 3))),
    "few pixels, indivisible": ((9, 9), 1, 4, (3, 3), 2, "SAME"),
}


def example(case, batch, dtype=np.float32):
    image, channels, features, kernel, stride, padding = CASES[case]
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(*batch, *image, channels)), dtype)
    k = jnp.asarray(rng.normal(size=(*kernel, channels, features)) / 4, dtype)
    return x, k, stride, padding


def reference(x, kernel, stride, padding):
    pair = (stride, stride) if isinstance(stride, int) else stride
    pads = [(padding, padding)] * 2 if isinstance(padding, int) else padding
    flat = x.reshape(-1, *x.shape[-3:])
    y = lax.conv_general_dilated(
        flat, kernel, pair, pads, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y.reshape(*x.shape[:-3], *y.shape[1:])


@pytest.mark.parametrize(
    ("case", "batch"),
    [(case, (2,)) for case in CASES]
    + [(case, batch) for case in ("same", "few pixels") for batch in ((), (2, 3))],
    ids=str,
)
def test_value_and_gradients_are_those_of_lax(case, batch):
    x, kernel, *window = example(case, batch)

    @functools.partial(jax.jit, static_argnums=0)
    def value_and_gradients(conv, x, kernel):
        y, vjp = jax.vjp(lambda *xk: conv(*xk, *window), x, kernel)
        return y, *vjp(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

    ours = value_and_gradients(conv2d, x, kernel)
    for got, want in zip(ours, value_and_gradients(reference, x, kernel), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("case", ["odd image, stride 2", "few pixels, stride 2"])
def test_first_and_second_gradients_in_float64(case):
    with jax.enable_x64(True):
        x, kernel, *window = example(case, (1,), np.float64)

        @jax.jit
        def fn(x, kernel):
            return jnp.sum(jnp.tanh(conv2d(x, kernel, *window)))

        check_grads(fn, (x, kernel), order=2, modes=["rev"])


@pytest.mark.parametrize("case", ["same", "odd image, stride 2", "few pixels"])
def test_one_by_one_is_the_batch(case):
    x, kernel, *window = example(case, (4,))

    @jax.jit
    def gradients(x, kernel):
        return jax.grad(lambda *xk: jnp.sum(conv2d(*xk, *window) ** 2), (0, 1))(
            x, kernel
        )

    together = gradients(x, kernel)
    each = jax.jit(jax.vmap(gradients, (0, None)))(x, kernel)
    np.testing.assert_allclose(each[0], together[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(each[1].sum(0), together[1], rtol=1e-4, atol=1e-3)


def test_many_kernels_are_one_after_the_other():
    x, kernel, *window = example("odd image, stride 2", (3,))
    kernels = jnp.stack([kernel, 2 * kernel, -kernel])
    fn = jax.jit(jax.grad(lambda x, k: jnp.sum(conv2d(x, k, *window) ** 2), (0, 1)))
    together = jax.jit(jax.vmap(fn, (None, 0)))(x, kernels)
    for i, one in enumerate(kernels):
        for got, want in zip(together, fn(x, one), strict=True):
            np.testing.assert_allclose(got[i], want, rtol=1e-4, atol=1e-4)


def test_hessian_products_by_forward_over_reverse():
    x, kernel, *window = example("odd image, stride 2", ())

    def product(conv):
        grad = jax.grad(lambda x: jnp.sum(jnp.tanh(conv(x, kernel, *window))))
        return jax.jit(lambda x: jax.jvp(grad, (x,), (jnp.ones_like(x),))[1])(x)

    np.testing.assert_allclose(product(conv2d), product(reference), atol=1e-4)


@pytest.mark.parametrize("argument", [0, 1], ids=["input", "kernel"])
def test_a_gradient_in_a_compiled_loop_costs_what_it_costs_outside(argument):
    # The reason for this module: the plain gradients cost over ten times more in there.
    start = jnp.ones((8, 24, 24, 32)), jnp.ones((3, 3, 32, 32)) / 100
    steps = 4

    def step(operands):
        def fn(moving):
            x, kernel = (*operands[:argument], moving, *operands[argument + 1 :])
            return jnp.sum(conv2d(x, kernel, 1, "VALID") ** 2)

        moved = operands[argument] + 1e-3 * jax.grad(fn)(operands[argument])
        return (*operands[:argument], moved, *operands[argument + 1 :])

    once = jax.jit(step).lower(start).compile()
    loop = jax.jit(lambda x: lax.fori_loop(0, steps, lambda _, x: step(x), x))
    loop = loop.lower(start).compile()

    def seconds(fn):
        begun = time.perf_counter()
        jax.block_until_ready(fn(start))
        return time.perf_counter() - begun

    times = [(seconds(once), seconds(loop)) for _ in range(12)]
    assert min(t[1] for t in times) < 4 * steps * min(t[0] for t in times)


def test_exports_to_every_platform():
    fn = jax.jit(jax.grad(lambda x, k: jnp.sum(conv2d(x, k) ** 2), (0, 1)))
    x, kernel, *_ = example("same", (2,))
    exported = jax.export.export(fn, platforms=("cpu", "cuda", "tpu"))(x, kernel)
    for got, want in zip(exported.call(x, kernel), fn(x, kernel), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("padding", "use_bias"),
    [("SAME", True), (1, False), (((0, 1), (2, 0)), True)],
    ids=str,
)
def test_module_is_interchangeable_with_flax(padding, use_bias):
    x = jax.random.normal(jax.random.key(0), (2, 9, 8, 3))
    options = {"strides": 2, "padding": padding, "use_bias": use_bias}
    ours, flax = Conv(5, (3, 3), **options), nn.Conv(5, (3, 3), **options)
    variables = models.init(ours, jax.random.key(1), x.shape)
    expected = models.init(flax, jax.random.key(1), x.shape)
    assert jax.tree.structure(variables) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, variables, expected)
    variables = jax.tree.map(lambda p: p + 0.1, variables)  # So that the bias counts.
    got, want = jax.jit(lambda v: (ours.apply(v, x), flax.apply(v, x)))(variables)
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize(
    ("x", "kernel", "stride", "padding", "message"),
    [
        ((8, 8), (3, 3, 1, 4), 1, "SAME", r"x\.shape=\(8, 8\)"),
        ((8, 8, 3), (3, 3, 1, 4), 1, "SAME", "same number of channels"),
        ((8, 8, 1), (3, 3, 1, 4), 0, "SAME", "stride=0; expected integers >= 1"),
        ((8, 8, 1), (3, 3, 1, 4), 1, "same", "padding='same'; expected 'SAME'"),
        ((2, 8, 1), (3, 3, 1, 4), 1, "VALID", "smaller than the kernel"),
    ],
)
def test_refuses(x, kernel, stride, padding, message):
    with pytest.raises(ValueError, match=message):
        conv2d(jnp.zeros(x), jnp.zeros(kernel), stride, padding)


def test_plain_convolutions_are_those_of_jax_in_this_block_alone():
    x, kernel = jnp.ones((4, 4, 1)), jnp.ones((2, 2, 1, 3))  # Few pixels.
    asked = jax.jit(lambda x: conv2d(x, kernel, 2))

    def names():
        text = str(jax.make_jaxpr(asked)(x))
        return "conv_general_dilated" in text, "dot_general" in text

    assert names() == (False, True)
    with plain_convolutions():
        assert names() == (True, False)
    assert names() == (False, True)
