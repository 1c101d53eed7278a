"""The deconvnet beside one written by hand, with its switches as arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from robust_jax import analysis, models

SHAPE = (8, 8, 1)
NET = models.by_name("madry_cnn", features=(3, 4), hidden=5)


@pytest.fixture(scope="module")
def net():
    variables = models.init(NET, jax.random.key(0), SHAPE)
    images = jax.random.uniform(jax.random.key(1), (6, *SHAPE))
    outputs = analysis.layer_outputs(NET, variables, "Conv_1", SHAPE)
    return variables["params"], images, lambda x: nn.relu(outputs(x))


def conv(x, layer):
    """5x5, zeros around: [H, W, C] -> [H, W, D], term by term."""
    kernel = np.asarray(layer["kernel"], float)
    wide = np.pad(x, ((2, 2), (2, 2), (0, 0)))
    made = np.zeros((*x.shape[:2], kernel.shape[3])) + np.asarray(layer["bias"], float)
    for i in range(5):
        for j in range(5):
            made += wide[i : i + x.shape[0], j : j + x.shape[1]] @ kernel[i, j]
    return made


def filtered_back(signal, layer):
    """By the flipped filters."""
    kernel = np.asarray(layer["kernel"], float)[::-1, ::-1]
    wide = np.pad(signal, ((2, 2), (2, 2), (0, 0)))
    made = np.zeros((*signal.shape[:2], kernel.shape[2]))
    for i in range(5):
        for j in range(5):
            cut = wide[i : i + signal.shape[0], j : j + signal.shape[1]]
            made += cut @ kernel[i, j].T
    return made


def pooled(x):
    """2x2, with the place of each largest value: its switch."""
    height, width, channels = x.shape
    blocks = x.reshape(height // 2, 2, width // 2, 2, channels)
    flat = blocks.transpose(0, 2, 4, 1, 3).reshape(height // 2, width // 2, channels, 4)
    return flat.max(-1), flat.argmax(-1)


def unpooled(signal, switches):
    height, width, channels = signal.shape
    made = np.zeros((2 * height, 2 * width, channels))
    for r, c, k in np.ndindex(signal.shape):
        down, across = divmod(switches[r, c, k], 2)
        made[2 * r + down, 2 * c + across, k] = signal[r, c, k]
    return made


def by_hand(params, image, channel, rule):
    first = conv(np.asarray(image, float), params["Conv_0"])
    pool, switches = pooled(np.maximum(first, 0))
    second = conv(pool, params["Conv_1"])
    active = np.maximum(second[..., channel], 0)
    signal = np.zeros_like(second)
    place = np.unravel_index(active.argmax(), active.shape)
    signal[(*place, channel)] = active.max()
    for before, layer, below in ((second, "Conv_1", switches), (first, "Conv_0", None)):
        if rule != "gradient":
            signal = np.maximum(signal, 0)
        if rule != "deconvnet":
            signal = signal * (before > 0)
        signal = filtered_back(signal, params[layer])
        signal = signal if below is None else unpooled(signal, below)
    return signal


@pytest.mark.parametrize("rule", analysis.RULES)
def test_it_is_that_written_by_hand(net, rule):
    params, images, features_fn = net
    channels = np.array([0, 1, 2, 3, 1, 2])
    made = analysis.project(features_fn, images, analysis.strongest(channels), rule)
    compiled = jax.jit(
        lambda x: analysis.project(features_fn, x, analysis.strongest(channels), rule)
    )(images)
    for one, same, image, channel in zip(made, compiled, images, channels, strict=True):
        expected = by_hand(params, image, channel, rule)
        np.testing.assert_allclose(one, expected, atol=1e-5)
        np.testing.assert_allclose(same, expected, atol=1e-5)
    assert np.abs(made).max() > 0.01


def test_the_rules_differ(net):
    _, images, features_fn = net
    made = [
        np.asarray(analysis.project(features_fn, images, jnp.ones_like, rule))
        for rule in analysis.RULES
    ]
    for i in range(3):
        assert np.abs(made[i] - made[i - 1]).max() > 1e-3


@pytest.mark.parametrize("rule", analysis.RULES)
def test_values_stay_and_without_relu_all_rules_are_the_gradient(net, rule):
    _, images, features_fn = net
    np.testing.assert_allclose(
        analysis.with_rule(features_fn, rule)(images), features_fn(images), atol=1e-6
    )

    def smooth(x):
        return {"a": jnp.tanh(x) @ jnp.ones((1, 2)), "b": jax.nn.silu(x).sum()}

    expected = jax.vjp(smooth, images)[1](smooth(images))[0]
    found, back = jax.vjp(analysis.with_rule(smooth, rule), images)
    np.testing.assert_allclose(back(found)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("relu", [nn.relu, lambda x: jnp.maximum(x, 0), jax.nn.relu])
def test_all_ways_to_write_a_relu_are_found(relu):
    back = jax.vjp(analysis.with_rule(jax.jit(relu), "deconvnet"), jnp.ones(2) * -1)[1]
    np.testing.assert_array_equal(back(jnp.array([2.0, -3.0]))[0], [2, 0])


def test_a_maximum_returns_its_signal_to_one_place():
    x = jnp.array([[1.0, 1.0], [0.0, 1.0]])
    back = jax.vjp(analysis.with_rule(lambda x: x.max(), "deconvnet"), x)[1]
    np.testing.assert_array_equal(back(jnp.array(2.0))[0], [[2, 0], [0, 0]])


def test_switches_of_one_image_serve_any_signal(net):
    _, images, features_fn = net
    found, back = jax.vjp(analysis.with_rule(features_fn, "deconvnet"), images)
    signal = jax.nn.relu(jax.random.normal(jax.random.key(2), found.shape))
    once, twice = back(signal)[0], back(2 * signal)[0]
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(back))


def test_signals_stay_in_the_receptive_field(net):
    _, images, features_fn = net
    windows = [(5, 1, 2), (2, 2, 0), (5, 1, 2)]
    field = analysis.receptive_field(analysis.Window(*w) for w in windows)
    place = (3, 0)

    def seeds(features):
        return jnp.zeros_like(features).at[:, *place].set(features[:, *place])

    made = np.abs(analysis.project(features_fn, images, seeds)).max((0, 3))
    top, left, bottom, right = field.box(*place, 8, 8)
    assert made[top:bottom, left:right].max() > 0
    made[top:bottom, left:right] = 0
    assert made.max() == 0


def test_a_relu_in_a_loop_is_told():
    def looped(x):
        layer = jax.jit(lambda c: nn.relu(c - 0.1) * 2)
        return jax.lax.scan(lambda c, _: (layer(c), None), x, None, 3)[0]

    with pytest.raises(ValueError, match="a ReLU inside a scan"):
        analysis.with_rule(looped, "guided")(jnp.ones(2))
    smooth = analysis.with_rule(
        lambda x: jax.lax.scan(lambda c, _: (jnp.sin(c), None), x, None, 3)[0], "guided"
    )
    np.testing.assert_allclose(smooth(jnp.ones(2)), np.sin(np.sin(np.sin(1.0))))


def test_no_such_rule():
    with pytest.raises(ValueError, match="did you mean 'guided'"):
        analysis.with_rule(jnp.sin, "guide")
