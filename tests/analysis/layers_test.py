"""Layers of nets, by name: their inputs, outputs and norms."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import analysis, models

SHAPE = (8, 8, 1)


def net(name, **config):
    module = models.by_name(name, **config)
    return module, models.init(module, jax.random.key(0), SHAPE)


def test_layers_are_named_in_calling_order():
    assert analysis.layer_names(net("digits_cnn")[0], SHAPE) == (
        *("Conv_0", "Conv_1", "Dense_0", "Dense_1"),
    )
    residual = analysis.layer_names(net("preact_resnet18", width=4)[0], (8, 8, 3))
    assert residual[0] == "Conv_0" and residual[-1] == "Dense_0"
    assert "_PreActBlock_3/BatchNorm_1" in residual
    assert len(residual) == len(set(residual)) == 20 + 17 + 1


def test_inputs_and_outputs_are_those_of_the_layer():
    module, variables = net("mlp", hidden=(5, 4))
    images = np.random.default_rng(0).random((7, *SHAPE), np.float32)
    layers = variables["params"]

    def dense(name, x):
        return x @ layers[name]["kernel"] + layers[name]["bias"]

    first = dense("Dense_0", images.reshape(7, -1))
    second = nn.relu(dense("Dense_1", nn.relu(first)))
    given = analysis.layer_outputs(module, variables, "Dense_0", SHAPE)
    np.testing.assert_allclose(given(images), first, rtol=1e-5, atol=1e-6)
    taken = analysis.layer_inputs(module, variables, "Dense_2", SHAPE)
    np.testing.assert_allclose(taken(images), second, rtol=1e-5, atol=1e-6)


def test_norms_are_those_of_the_layers():
    module, variables = net("digits_cnn")
    norms = analysis.layer_norms(module, variables, SHAPE, jax.random.key(1))
    assert [each.name for each in norms] == list(analysis.layer_names(module, SHAPE))
    kinds = ["convolution", "convolution", "dense", "dense"]
    assert [each.kind for each in norms] == kinds
    for each in norms[:2]:
        assert 0.8 * each.bound < each.norm <= each.bound * (1 + 1e-5)
    kernel = variables["params"]["Dense_0"]["kernel"]
    assert norms[2].norm == norms[2].bound == analysis.dense_norm(kernel)


def test_normalisation_has_its_running_statistics():
    module, variables = net("wide_resnet", depth=10, width=1)
    stats = jax.tree.map(lambda a: a + 3, variables["batch_stats"])  # Variance 4.
    changed = {**variables, "batch_stats": stats}
    norms = analysis.layer_norms(module, changed, SHAPE, jax.random.key(1))
    scales = [each for each in norms if each.kind == "normalisation"]
    assert len(scales) == 7
    for each in scales:
        assert each.norm == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("name", ["digits_cnn", "fc100_100_10"])
def test_the_product_bounds_every_slope_that_is_seen(name):
    module, variables = net(name, std=(0.5,))
    norms = analysis.layer_norms(module, variables, SHAPE, jax.random.key(1))
    bound = analysis.product_bound(module, norms)
    steep = 0.25 if name == "fc100_100_10" else 1.0  # A sigmoid, or ReLU.
    bounds = [steep * each.bound for each in norms]
    assert bound == pytest.approx(np.prod(bounds) / steep / 0.5)
    logits_fn = models.logits_fn(module, variables)
    rng = np.random.default_rng(0)
    points = rng.random((2, 50, *SHAPE), np.float32)
    local = max(analysis.jacobian_norm(logits_fn, x) for x in points[0][:10])
    logits = np.asarray(jax.vmap(jax.vmap(logits_fn))(points))
    apart = np.linalg.norm((points[0] - points[1]).reshape(50, -1), axis=1)
    slopes = np.linalg.norm(logits[0] - logits[1], axis=1) / apart
    assert slopes.max() <= bound and local <= bound
    assert local > bound / 1e4


def test_an_affine_nets_bound_is_its_slope():
    module, variables = net("mlp", hidden=(), std=(0.5,))
    norms = analysis.layer_norms(module, variables, SHAPE, jax.random.key(1))
    exact = 2 * np.linalg.norm(variables["params"]["Dense_0"]["kernel"], 2)
    assert analysis.product_bound(module, norms) == pytest.approx(exact)
    logits_fn = models.logits_fn(module, variables)
    found = analysis.jacobian_norm(logits_fn, jnp.zeros(SHAPE))
    assert found == pytest.approx(exact, rel=1e-5)


def test_where_paths_meet_there_is_no_product():
    module, _ = net("wide_resnet", depth=10, width=1)
    with pytest.raises(ValueError, match="WideResNet is not known as a chain"):
        analysis.product_bound(module, [])


def test_an_unknown_layer_is_refused():
    module, variables = net("mlp")
    with pytest.raises(ValueError, match="unknown layer 'Dense_O'"):
        analysis.layer_inputs(module, variables, "Dense_O", SHAPE)
