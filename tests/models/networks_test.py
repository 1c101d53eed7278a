"""The nets: plain Flax layers are the oracle."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from robust_jax import models
from tests.models.weights import SMALL, random_weights


class PlainSmall(nn.Module):
    @nn.compact
    def __call__(self, x):
        for features in (32, 64):
            x = nn.relu(nn.Conv(features, (3, 3), padding="VALID")(x))
            x = nn.relu(nn.Conv(features, (3, 3), padding="VALID")(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = x.reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(200)(x))
        x = nn.relu(nn.Dense(200)(x))
        return nn.Dense(10)(x)


class PlainFast(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(16, (4, 4), strides=2, padding=1)(x))
        x = nn.relu(nn.Conv(32, (4, 4), strides=2, padding=1)(x))
        x = nn.relu(nn.Dense(100)(x.reshape(x.shape[0], -1)))
        return nn.Dense(10)(x)


class PlainMadry(nn.Module):
    @nn.compact
    def __call__(self, x):
        for features in (32, 64):
            x = nn.relu(nn.Conv(features, (5, 5))(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(nn.Dense(1024)(x.reshape(x.shape[0], -1)))
        return nn.Dense(10)(x)


@pytest.mark.parametrize(
    ("name", "plain"),
    [("small_cnn", PlainSmall), ("fast_cnn", PlainFast), ("madry_cnn", PlainMadry)],
)
def test_nets_are_the_published_layers(name, plain):
    x = jax.random.uniform(jax.random.key(0), (2, 28, 28, 1))
    variables = random_weights(plain(), x.shape)

    @functools.partial(jax.jit, static_argnums=0)
    def logits_and_gradient(module, variables, x):
        logits, vjp = jax.vjp(lambda x: module.apply(variables, x), x)
        return logits, vjp(jnp.sin(jnp.arange(20.0)).reshape(2, 10))[0]

    expected = logits_and_gradient(plain(), variables, x)
    ours = logits_and_gradient(models.by_name(name), variables, x)
    for got, want in zip(ours, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", models.names())
def test_one_example_a_batch_and_batches_of_batches_agree(name):
    module = models.by_name(name, num_classes=7, **SMALL.get(name, {}))
    variables = random_weights(module, (16, 16, 1))
    x = jax.random.uniform(jax.random.key(1), (2, 2, 16, 16, 1))
    logits = jax.jit(module.apply)(variables, x)
    assert logits.shape == (2, 2, 7)
    one_by_one = jax.vmap(jax.vmap(lambda x: module.apply(variables, x)))
    np.testing.assert_allclose(logits, jax.jit(one_by_one)(x), atol=1e-5)


@pytest.mark.parametrize("name", ["digits_cnn", "fast_cnn", "madry_cnn", "small_cnn"])
def test_nets_take_colour_images_of_odd_sides(name):
    module = models.by_name(name)
    variables = random_weights(module, (19, 17, 3))
    x = jax.random.uniform(jax.random.key(1), (19, 17, 3))
    gradient = jax.jit(jax.grad(lambda x: module.apply(variables, x)[0]))(x)
    assert gradient.shape == x.shape
    assert jnp.any(gradient != 0)


def test_normalisation_is_inside_the_net():
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    plain = models.by_name("digits_cnn")
    variables = random_weights(plain, (8, 8, 3))
    x = np.random.default_rng(0).uniform(size=(8, 8, 3)).astype(np.float32)
    inside = models.by_name("digits_cnn", mean=mean, std=std).apply(variables, x)
    outside = plain.apply(variables, jnp.asarray((x - mean) / std, jnp.float32))
    np.testing.assert_allclose(inside, outside, atol=1e-5)


def test_mlp_without_hidden_layers_is_affine():
    module = models.by_name("mlp", hidden=(), input_rank=1, num_classes=3)
    variables = random_weights(module, (5,))
    dense = variables["params"]["Dense_0"]
    x = jax.random.uniform(jax.random.key(1), (4, 5))
    np.testing.assert_allclose(
        module.apply(variables, x), x @ dense["kernel"] + dense["bias"], atol=1e-6
    )


def test_dropout_acts_in_training_only():
    module = models.by_name("small_cnn")
    variables = random_weights(module, (16, 16, 1))
    x = jax.random.uniform(jax.random.key(1), (16, 16, 1))

    def trained(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return module.apply(variables, x, train=True, rngs=rngs)

    assert not jnp.allclose(trained(0), trained(1))
    evaluated = module.apply(variables, x)
    without = models.by_name("small_cnn", dropout=0.0)
    np.testing.assert_array_equal(evaluated, without.apply(variables, x, train=True))


def test_zero_head_starts_from_equal_logits():
    module = models.by_name("small_cnn", zero_head=True)
    variables = models.init(module, jax.random.key(0), (16, 16, 1))
    x = jax.random.uniform(jax.random.key(1), (16, 16, 1))
    np.testing.assert_array_equal(module.apply(variables, x), jnp.zeros(10))


def test_width_scales_every_hidden_layer():
    module = models.by_name("fast_cnn", width=2)
    variables = random_weights(module, (28, 28, 1))
    features = [layer["bias"].size for layer in variables["params"].values()]
    assert features == [32, 64, 200, 10]


@pytest.mark.parametrize("side", [4, 5])
def test_max_pool_is_the_largest_of_each_window(side):
    x = np.random.default_rng(0).normal(size=(2, side, 6, 3)).astype(np.float32)
    expected = np.empty((2, 2, 3, 3), np.float32)
    for i in range(2):
        for j in range(3):
            expected[:, i, j] = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max((1, 2))
    np.testing.assert_array_equal(models.max_pool(jnp.asarray(x)), expected)


def test_ties_in_a_window_share_the_gradient():
    x = jnp.asarray([[1.0, 1.0, 3.0], [0.0, 1.0, 3.0]])[..., None]
    gradient = jax.grad(lambda x: models.max_pool(x).sum())(x)[..., 0]
    np.testing.assert_allclose(gradient, [[1 / 3, 1 / 3, 0], [0, 1 / 3, 0]], rtol=1e-6)


def test_lists_make_an_equal_module():
    assert models.by_name("mlp", hidden=[5, 6]) == models.by_name("mlp", hidden=(5, 6))


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("smal_cnn", {}, "did you mean 'small_cnn'.*known: .*madry_cnn"),
        ("fast_cnn", {"with": 2}, "did you mean 'width'"),
        ("fast_cnn", {"hidden": (3,)}, "known: mean, num_classes, std, width"),
        ("mlp", {"num_classes": 1}, "num_classes=1; expected"),
        ("mlp", {"num_classes": "10"}, "num_classes='10'; expected"),
    ],
)
def test_by_name_refuses(name, config, message):
    with pytest.raises(ValueError, match=message):
        models.by_name(name, **config)


def test_bytes_are_refused():
    module = models.by_name("digits_cnn")
    variables = random_weights(module, (8, 8, 1))
    with pytest.raises(ValueError, match="x.dtype=uint8; expected floats"):
        module.apply(variables, jnp.zeros((8, 8, 1), jnp.uint8))


def test_a_vector_is_no_image():
    module = models.by_name("mlp")
    with pytest.raises(ValueError, match="expected examples of 3 axes"):
        random_weights(module, (64,))
